// One failure cluster: its traceback and its latest failures.
const failuresOf = new Map(Object.entries(report.failures));

function showFailure(fingerprint) {
  const cluster = clusters.find((one) => one.cluster === fingerprint || one.members.includes(fingerprint));
  if (!cluster) {
    byId('cluster').replaceChildren(make('p', { class: 'note' }, `The failure cluster ${fingerprint} is not in this page.`));
    return;
  }
  const failures = cluster.members.flatMap((member) => failuresOf.get(member) || []);
  failures.sort((one, other) => String(other.at).localeCompare(String(one.at)));
  const sample = failures.find((failure) => failure.traceback !== undefined);
  const columns = ['At', 'Task', 'Task id', 'Worker', 'Message', 'Workflow'];
  byId('cluster').replaceChildren(
    make('h2', {}, cluster.title || cluster.cluster),
    make('div', { class: 'below' }, place(cluster)),
    facts([
      ['Failures', cluster.count.toLocaleString('en')], ['State', make('span', {}, ...badges(cluster))],
      ['First seen', moment(cluster.first_seen)], ['Last seen', moment(cluster.last)],
      ['First release', cluster.first_release], ['Release', cluster.release],
      ['Owner', cluster.owner], ['Severity', cluster.severity], ['Fingerprint', cluster.cluster],
    ], ['Fingerprint']),
    trend(cluster.cluster, 600, 60),
    make('h3', {}, sample ? `Traceback of ${moment(sample.at)}` : 'No failure of it came with a traceback'),
    sample ? traceback(sample.traceback) : '',
    make('h3', {}, failures.length < cluster.count ? `The latest ${failures.length} failures` : 'Failures'),
    make('table', { id: 'samples' },
      make('thead', {}, make('tr', {}, ...columns.map((title) => make('th', {}, title)))),
      make('tbody', {}, ...failures.map(sampleLine))),
  );
}

function sampleLine(failure) {
  const root = failure[names.root];
  const here = workflows.has(root);
  const workflow = here ? make('a', { href: `#workflow=${encodeURIComponent(root)}` }, 'timeline') : root || '-';
  const texts = [moment(failure.at), failure[names.task_name], failure[names.task], failure[names.worker], cause(failure)];
  return make('tr', {}, ...texts.map((text) => make('td', {}, text ?? '-')), make('td', {}, workflow));
}
