// One workflow as its timeline, and the attempt of a bar that is clicked.
const workflows = new Map(Object.entries(report.workflows));
const attemptsIn = new Map(Object.entries(report.attempts_in));
const tracebackOf = new Map(Object.entries(report.traceback_of));

function identity(attempt) {
  return `${attempt[names.task]}:${attempt[names.retries] || 0}`;
}

async function showWorkflow(root) {
  const hits = workflows.get(root);
  picked = new Map();
  repaint = () => {};
  byId('timeline').replaceChildren();
  if (!hits) {
    note('workflow-note', `The timeline of ${root} is not in this page; `
      + `celeryscope report --workflow ${root} writes one with it.`);
    return;
  }
  const all = attemptsIn.get(root);
  note('workflow-note', all ? `Only the first ${hits.length} of ${all} attempts are here.` : '');
  const panel = byId('timeline');
  const answers = { attempts: { hits: { total: { value: hits.length }, hits } }, found: { aggregations: {} } };
  const row = hits.length > 60 ? 20 : 28;
  const view = await draw(panel, report.timeline, answers, widthOf(panel), 130 + row * hits.length);
  await grown(view, 'hidden', row);
  view.addEventListener('click', (_, item) => {
    if (item && item.datum && item.datum.task) showAttempt(root, item.datum);
  });
  repaint = () => {
    const tasks = [...picked.values()];
    const marked = structuredClone(hits).map((hit) => (tasks.includes(hit._source[names.task])
      ? { ...hit, matched_queries: [report.picked + hit._source[names.task]] } : hit));
    view.data('attempts', marked).runAsync();
  };
}

function traceback(number) {
  if (number === undefined) return null;
  if (number === null) return make('p', { class: 'note' }, 'Its traceback found no room in this page.');
  return make('pre', { class: 'traceback' }, report.tracebacks[number]);
}

function cause(attempt) {
  const message = attempt[names.message];
  const type = attempt[names.exception];
  return type ? (message ? `${type}: ${message}` : type) : attempt[names.reason];
}

function toCluster(fingerprint) {
  if (!fingerprint) return '';
  const found = clusters.find((cluster) => cluster.members.includes(fingerprint));
  if (!found) return fingerprint;
  return make('a', { href: `#failure=${encodeURIComponent(found.cluster)}` }, found.title || found.cluster);
}

function toRunbook(address) {
  return /^https?:\/\//.test(address || '') ? make('a', { href: address, rel: 'noreferrer' }, address) : address;
}

function showAttempt(root, row) {
  if (row.planned) {
    showDetails(make('h2', {}, row.name), facts([['State', row.label], ['Because of', row.cause]]));
    return;
  }
  const key = `${row.task}:${row.retries || 0}`;
  const hit = workflows.get(root).find((one) => identity(one._source) === key);
  if (!hit) return;
  const of = (name) => hit._source[names[name]];
  const look = report.looks[of('state')];
  showDetails(
    make('h2', {}, of('task_name') || '(unnamed task)'),
    facts([
      ['State', look ? look.label : of('state')], ['Attempt', `${row.retries + 1} of ${row.attempts}`],
      ['Worker', of('worker')], ['Queue', of('queue')],
      ['Sent', moment(of('sent'), true)], ['Received', moment(of('received'), true)],
      ['Started', moment(of('started'), true)], ['Ended', moment(of('ended'), true)],
      ['Not before', moment(of('eta'), true)], ['In the queue', duration(of('queue_time'))],
      ['Held by the worker', duration(of('prefetch_time'))], ['Ran', duration(of('runtime'))],
      ['Host', of('host')], ['Service', [of('service'), of('release')].filter(Boolean).join(' ')],
      ['Task id', of('task')], ['Called by', of('parent')], ['Trace id', of('trace')],
      ['Redelivered', of('redelivered') ? 'yes' : ''], ['Kind of failure', of('kind')],
      ['Team', of('team')], ['Runbook', toRunbook(of('runbook'))],
      ['Arguments', of('args')], ['Keyword arguments', of('kwargs')],
      ['Exception', cause(hit._source)], ['Failure cluster', toCluster(of('fingerprint'))],
    ], ['Arguments', 'Keyword arguments', 'Exception', 'Failure cluster', 'Runbook']),
    traceback(tracebackOf.get(key)),
  );
}

function showDetails(...parts) {
  byId('details').replaceChildren(...parts.filter(Boolean));
  byId('tooltip').hidden = true;
  byId('attempt').hidden = false;
  byId('attempt').scrollTop = 0;
  document.body.classList.add('reading');
}

function closeDetails() {
  byId('attempt').hidden = true;
  document.body.classList.remove('reading');
}
