// Draws specifications as Kibana does (Vega 5.33, expressions interpreted), without a screen. For each line of JSON on
// stdin, {spec, width, height, sets}, it prints one: data sets, marks by their names with their bounds, calls of Kibana's
// functions, and warnings.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(process.env.VEGA_MODULES + '/'));
const vega = await import(pathToFileURL(require.resolve('vega')).href);
const { expressionInterpreter } = await import(pathToFileURL(require.resolve('vega-interpreter')).href);

const calls = [];
for (const name of ['kibanaAddFilter', 'kibanaRemoveFilter', 'kibanaRemoveAllFilters', 'kibanaSetTimeFilter']) {
  vega.expressionFunction(name, (...args) => { calls.push([name, ...args]); });
}

const problems = [];
const note = (parts) => problems.push(parts.map((part) => part?.stack || part).join(' '));
const logger = vega.logger(vega.Warn);
// Without a screen there is no window to listen to.
logger.warn = (...parts) => { if (!parts.join().includes('event source: window')) note(parts); return logger; };
logger.error = (...parts) => { note(parts); return logger; };

const KEPT = ['x', 'y', 'x2', 'y2', 'width', 'height', 'text', 'fill', 'stroke', 'shape', 'opacity', 'fillOpacity',
  'strokeWidth', 'size', 'align', 'strokeDash'];
const OF_DATUM = ['task', 'row', 'state', 'root', 'line', 'cluster'];
// Objects that would be repeated with each datum.
const LEFT_OUT = new Set(['bucket', 'best', 'biggest', 'above', '_source', 'last', 'chosen', 'blocking', 'awaited']);

function collect(item, dx, dy, marks) {
  for (const mark of item.items || []) {
    for (const drawn of mark.items) {
      const { x1, x2, y1, y2 } = drawn.bounds;
      const own = { left: dx + x1, right: dx + x2, top: dy + y1, bottom: dy + y2 };
      for (const key of KEPT) if (drawn[key] !== undefined) own[key] = drawn[key];
      for (const key of OF_DATUM) if (drawn.datum?.[key] !== undefined) own[key] = drawn.datum[key];
      if (mark.name) (marks[mark.name] ??= []).push(own);
      if (mark.marktype === 'group') collect(drawn, dx + (drawn.x || 0), dy + (drawn.y || 0), marks);
    }
  }
  return marks;
}

function plain(datum) {
  return Object.fromEntries(Object.entries(datum).filter(([key]) => !LEFT_OUT.has(key)));
}

for await (const line of createInterface({ input: process.stdin })) {
  const { spec, width, height, sets } = JSON.parse(line);
  calls.length = problems.length = 0;
  const view = new vega.View(vega.parse(spec, {}, { ast: true }), { expr: expressionInterpreter, renderer: 'none', logger });
  await view.width(width).height(height).runAsync();
  const data = Object.fromEntries(sets.map((name) => [name, (view.data(name) || []).map(plain)]));
  const marks = collect(view.scenegraph().root.items[0], 0, 0, {});
  process.stdout.write(JSON.stringify({ data, marks, calls, problems }) + '\n');
  view.finalize();
}
