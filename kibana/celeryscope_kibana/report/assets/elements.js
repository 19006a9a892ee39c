// Elements and texts. What came out of the data is only ever set as text.
const report = JSON.parse(document.getElementById('report').textContent);
const names = report.names;
const byId = (id) => document.getElementById(id);

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function drawn(tag, attributes, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function note(id, text) {
  byId(id).textContent = text;
  byId(id).hidden = !text;
}

function facts(pairs, wide = []) {
  const list = make('dl');
  for (const [name, value] of pairs) {
    if (value === undefined || value === null || value === '') continue;
    const place = wide.includes(name) ? { class: 'wide' } : {};
    list.append(make('dt', place, name), make('dd', place, value));
  }
  return list;
}

const two = (number, digits = 2) => String(number).padStart(digits, '0');

function clock(date, exact) {
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return exact ? `${time}.${two(date.getMilliseconds(), 3)}` : time;
}

function moment(value, exact = false) {
  if (value === undefined || value === null || value === '') return '';
  const date = new Date(value);
  if (Number.isNaN(date.getTime())) return String(value);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(date, exact)}`;
}

function duration(seconds) {
  if (typeof seconds !== 'number') return '';
  if (seconds < 0.9995) return `${Number((seconds * 1000).toPrecision(3))} ms`;
  if (seconds < 120) return `${Number(seconds.toPrecision(3))} s`;
  if (seconds < 7200) return `${Number((seconds / 60).toPrecision(3))} min`;
  return `${Number((seconds / 3600).toPrecision(3))} h`;
}

function counted(number, one, several) {
  return `${number.toLocaleString('en')} ${number === 1 ? one : several}`;
}
