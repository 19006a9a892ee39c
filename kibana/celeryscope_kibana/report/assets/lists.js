// The page at its beginning: the list of workflows as Kibana draws it, and the table of failure clusters.
const nothing = { hits: { total: { value: 0 }, hits: [] } };

async function showWorkflows() {
  const panel = byId('list');
  const view = await draw(panel, report.timeline, { attempts: nothing, found: report.listed }, widthOf(panel), 160);
  await grown(view, 'lines_hidden', 24);
  const listed = view.data('workflows').length;
  const more = report.workflows_in_range > listed && listed;
  note('workflows-count', more ? `${counted(report.workflows_in_range, 'workflow', 'workflows')} in this time range; `
    + `these ${listed} failed, ran or waited most.` : '');
  note('workflows-note', report.left_out.length ? `The timelines of ${report.left_out.length} of them found no room in `
    + 'this page: celeryscope report --workflow <root id> writes a page that has one.' : '');
}

let clusters = [];
let trends = new Map();

async function readClusters() {
  // The table is made here, so that it can be sorted, filtered and printed; its lines come out of Kibana's view.
  const view = await draw(make('div'), report.clusters, {}, 1000, 200);
  clusters = view.data('clusters').map((line) => ({ ...line }));
  for (const step of view.data('trends')) {
    if (!trends.has(step.cluster)) trends.set(step.cluster, []);
    trends.get(step.cluster).push({ at: step.at, failures: step.failures });
  }
  view.finalize();
}

function trend(cluster, width, height) {
  const steps = (trends.get(cluster) || []).sort((one, other) => one.at - other.at);
  const most = Math.max(1, ...steps.map((step) => step.failures));
  const wide = width / Math.max(1, steps.length);
  const bars = steps.filter((step) => step.failures).map((step) => {
    const tall = Math.max(1, (step.failures / most) * (height - 2));
    const place = { x: steps.indexOf(step) * wide, y: height - 1 - tall, width: Math.max(1, wide - 1), height: tall };
    const title = drawn('title', {}, `${moment(step.at)}: ${counted(step.failures, 'failure', 'failures')}`);
    return drawn('rect', place, title);
  });
  const foot = drawn('line', { x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5 });
  const label = `at most ${counted(most, 'failure', 'failures')} at once`;
  return drawn('svg', { class: 'trend', width, height, role: 'img', 'aria-label': label }, ...bars, foot);
}

function place(cluster) {
  const others = cluster.tasks > 1 ? ` and ${cluster.tasks - 1} more` : '';
  return `${cluster.culprit || '(no frame of the application)'} \u2022 ${cluster.task}${others}`;
}

function badges(cluster) {
  const state = make('span', { class: `badge ${cluster.state.replace(/\W/g, '')}` }, cluster.state);
  return cluster.is_new ? [state, ' ', make('span', { class: 'badge new' }, 'new')] : [state];
}

function line(cluster) {
  const address = `#failure=${encodeURIComponent(cluster.cluster)}`;
  const row = make(
    'tr', { class: 'opens' },
    make('td', {}, make('a', { class: 'title', href: address }, cluster.title || cluster.cluster),
      make('div', { class: 'below' }, place(cluster))),
    make('td', { class: 'number' }, cluster.count.toLocaleString('en')),
    make('td', {}, trend(cluster.cluster, 140, 28)),
    make('td', { class: 'moment' }, moment(cluster.first_seen)),
    make('td', { class: 'moment' }, moment(cluster.last)),
    make('td', {}, cluster.release || '-'),
    make('td', {}, cluster.owner || '-'),
    make('td', { class: 'state' }, ...badges(cluster)),
  );
  row.addEventListener('click', () => { location.hash = address; });
  return row;
}

const order = { by: 'count', up: false };

function showClusters() {
  const words = byId('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (cluster) => [cluster.title, place(cluster), cluster.release, cluster.owner, cluster.state,
    cluster.is_new ? 'new' : '', cluster.cluster].join(' ').toLowerCase();
  const shown = clusters.filter((cluster) => words.every((word) => text(cluster).includes(word)));
  const compared = (one, other) => (typeof one === 'number' && typeof other === 'number' ? one - other
    : String(one ?? '').localeCompare(String(other ?? '')));
  shown.sort((one, other) => (order.up ? 1 : -1) * compared(one[order.by], other[order.by]) || other.last - one.last);
  byId('clusters').tBodies[0].replaceChildren(...shown.map(line));
  byId('filtered').textContent = words.length ? `${shown.length} of ${clusters.length}` : '';
  for (const heading of document.querySelectorAll('th[data-sort]')) {
    const sorted = heading.dataset.sort === order.by;
    heading.setAttribute('aria-sort', sorted ? (order.up ? 'ascending' : 'descending') : 'none');
  }
  byId('clusters').hidden = !clusters.length;
  document.querySelector('.bar').hidden = !clusters.length;
  note('failures-count', clusters.length ? '' : 'No failures in this time range.');
}
