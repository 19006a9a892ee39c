// What is shown stands in the address, so that going back works, and a link can lead to it.
async function show() {
  const [kind, , rest] = location.hash.slice(1).split(/(=)(.*)/s);
  const id = decodeURIComponent(rest || '');
  closeDetails();
  byId('tooltip').hidden = true;
  byId('lists').hidden = kind === 'workflow' || kind === 'failure';
  byId('workflow').hidden = kind !== 'workflow';
  byId('failure').hidden = kind !== 'failure';
  scrollTo(0, 0);
  if (kind === 'workflow') await showWorkflow(id);
  else if (kind === 'failure') showFailure(id);
  else await showWorkflows();
  document.body.dataset.shown = location.hash;
}

function describe() {
  const { tenant, start, end, version } = report.about;
  byId('about').textContent = `${moment(start)} to ${moment(end)}, in your time zone \u2022 tenant ${tenant} \u2022 `
    + `celeryscope ${version}`;
}

async function begin() {
  describe();
  if (!location.hash && report.opened) history.replaceState(null, '', `#${report.opened}`);
  await readClusters();
  showClusters();
  byId('filter').addEventListener('input', showClusters);
  for (const heading of document.querySelectorAll('th[data-sort]')) {
    heading.querySelector('button').addEventListener('click', () => {
      order.up = order.by === heading.dataset.sort ? !order.up : !['count', 'first_seen', 'last'].includes(heading.dataset.sort);
      order.by = heading.dataset.sort;
      showClusters();
    });
  }
  byId('close').addEventListener('click', closeDetails);
  addEventListener('keydown', (event) => { if (event.key === 'Escape') closeDetails(); });
  // One after the other: what is drawn last is what the address says.
  let showing = show();
  addEventListener('hashchange', () => { showing = showing.then(show); });
}

begin();
