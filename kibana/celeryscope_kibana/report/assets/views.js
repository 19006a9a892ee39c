// Vega, and what Kibana does for it: a filter on a workflow opens it, a filter on a task marks its row.
let picked = new Map();
let repaint = () => {};

function addFilter(query) {
  const chosen = query.match_phrase && query.match_phrase[names.root];
  if (chosen) {
    location.hash = `workflow=${encodeURIComponent(chosen)}`;
  } else if (query.bool && String(query.bool._name).startsWith(report.picked)) {
    picked.set(query.bool._name, query.bool._name.slice(report.picked.length));
    repaint();
  }
}

function removeFilter(query) {
  if (query.bool && picked.delete(query.bool._name)) repaint();
}

const expressionFunctions = {
  kibanaAddFilter: (query) => { setTimeout(addFilter, 0, query); },
  kibanaRemoveFilter: (query) => { setTimeout(removeFilter, 0, query); },
  kibanaRemoveAllFilters: () => {},
  kibanaSetTimeFilter: () => {},
};

function tooltip(_, event, item, value) {
  const box = byId('tooltip');
  box.hidden = !value || typeof value !== 'object';
  if (box.hidden) return;
  box.replaceChildren(facts(Object.entries(value).map(([name, text]) => [name, String(text)])));
  const { width, height } = box.getBoundingClientRect();
  box.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 8))}px`;
  box.style.top = `${Math.max(4, event.clientY + 18 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 18)}px`;
}

const shown = new Map();

async function draw(panel, specification, answers, width, height) {
  const whole = structuredClone({ ...specification, width, height });
  delete whole.$schema;
  delete whole.config.kibana;
  for (const data of whole.data) {
    if (!data.url) continue;
    delete data.url;
    data.values = structuredClone(answers[data.name]);
  }
  const options = {
    mode: 'vega', renderer: 'svg', ast: true, actions: false, defaultStyle: false, tooltip, expressionFunctions,
  };
  if (shown.has(panel)) shown.get(panel).finalize();
  const embedded = await window.vegaEmbed(panel, whole, options);
  shown.set(panel, embedded);
  return embedded.view;
}

// Makes a view so high that it need not be scrolled; while it hides nothing, the wheel is the page's.
async function grown(view, hidden, line) {
  for (let tries = 0; tries < 6 && view.signal(hidden) > 0; tries += 1) {
    await view.height(view.height() + view.signal(hidden) * line).runAsync();
  }
  return view;
}

function widthOf(panel) {
  return Math.max(640, panel.clientWidth);
}
