// For development only: both servers with made-up data, on the loopback. `node mock.mjs [PORT]` serves dist/ and the
// routes of the control port there, and those of the results at PORT + 1. A scan runs over and over.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const port = Number(process.argv[2] ?? 5900);
const dist = join(dirname(fileURLToPath(import.meta.url)), 'dist');
const types = { html: 'text/html; charset=utf-8', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' };

// --- the scan ----------------------------------------------------------------------------------------
const rows = 81, columns = 121, events = rows * columns, perSecond = 150;
let scan = { id: '7d0c1f5e-3d1b-4b7c-9d55-3f7d1c6f2a10', began: Date.now(), stopped: 0 };
const seconds = () => ((scan.stopped || Date.now()) - scan.began) / 1000;
const done = () => Math.min(events, Math.floor(seconds() * perSecond));
const finished = () => scan.stopped > 0 || done() >= events;
const log = [];
const say = (levelname, component, msg) => log.push({ time: Date.now() / 1000, levelname, component, msg });
say('INFO', 'controller', `scan ${scan.id}: ${events} events, streams [fluo, pilatus], 6 workers`);
setInterval(() => {
  const n = log.length;
  if (n % 7 === 3) say('WARNING', 'ingester@node1', `stream fluo: frames ${n * 10} to ${n * 10 + 2} are missing`);
  else if (n % 31 === 30) say('ERROR', 'worker@node3', 'event 4711: roi: rows 0:600 do not fit an image of 512 rows');
  else say(n % 3 ? 'DEBUG' : 'INFO', n % 2 ? 'reducer@node4' : 'controller', `${done()} results are folded`);
}, 1500);

const fates = () => {
  const n = done();
  const incomplete = Math.floor(n / 900) * 3, empty = Math.min(n, 2), failed = Math.floor(n / 2500);
  return { discarded: 0, empty, failed, folded: n - empty - incomplete - failed, incomplete, lost: scan.stopped ? events - n : 0 };
};
const progress = () => ({
  last_assigned: Math.min(events, done() + 180), completed_events: scan.stopped ? events : done(), total_events: events,
  finished: finished(), scan: scan.id, state: scan.stopped ? 'stopped' : finished() ? 'finished' : 'running', fates: fates(),
  seconds: seconds(), output: finished() ? 'nanomax.h5' : '', trouble: scan.stopped ? 'stopped on request' : '',
});

const stream = (name, protocol, hz, size, more = {}) => ({
  stream: name, protocol, matched_by: 'number', address: 'tcp://172.16.1.4:9999', connected: true, packets: done(),
  packets_per_second: finished() ? 0 : hz * (0.97 + Math.random() * 0.06), bytes_per_second: finished() ? 0 : hz * size,
  state: finished() ? 'complete' : 'reading', entries: events, received_bytes: done() * size, held_bytes: 40 * size, budget_bytes: 2 ** 31,
  fill: (40 * size) / 2 ** 31, verdicts: { ok: done(), gap: 0, duplicate: 0, late: 0 }, faults: { truncated: 0, not_json: 0 }, ...more,
});
const streams = () => ({
  pilatus: stream('pilatus', 'dectris_v2', perSecond, 2_100_000, { fill: 0.93, held_bytes: 1_990_000_000, state: finished() ? 'complete' : 'held back: its budget is full' }),
  fluo: stream('fluo', 'xspress3', perSecond, 32_000, { verdicts: { ok: done() - 12, gap: 3, duplicate: 0, late: 9 } }),
  panda: stream('panda', 'panda_tcp', perSecond, 120),
  electrometer: stream('electrometer', 'albaem', perSecond, 64, { state: 'silent for 4 s' }),
});
const workers = [['worker@node2', 4], ['worker@node3', 2]].flatMap(([process, n]) =>
  Array.from({ length: n }, (_, i) => ({ name: `w${i}.${process}`, process, tags: ['generic'], processed_events: 0 })));
const busy = (i) => [0.97, 0.93, 0.99, 0.91, 0.6, 0.2][i];
const status = () => ({
  ...progress(), bottleneck: finished() ? 'nothing: no scan is on' : 'workers: 6 of 6 are busy with 180 events; held back: pilatus',
  streams: streams(),
  assemblers: Object.fromEntries(['worker@node2', 'worker@node3'].map((name, i) => [name, { workers: 4 - 2 * i, memory: 2 ** 30, holes: 0,
    open_events: 100 - 60 * i, open_bytes: 6e8 - 4e8 * i, windows: Array.from({ length: 4 - 2 * i }, () => ({ window: 32, processed: done() / 6 })) }])),
  reducers: { 'reducer@node4': { armed: true, output: 'nanomax.h5', folded: done(), rejected: 0, duplicates: 0 } },
  processing_times: Object.fromEntries(workers.map((w, i) => [w.name, { [done()]: { custom_code: seconds() * busy(i), no_events: Math.floor(done() / 6) } }])),
});
const config = (host) => ({
  ingesters: Object.keys(streams()).map((s) => ({ name: `${s}-ingester`, process: s === 'fluo' ? 'ingester@node1' : 'ingester@node0', streams: [s] })),
  workers, reducer: { name: 'reducer', process: 'reducer@node4' }, controller_version: '0.1.0', analysis: 'xrf', results: `http://${host}:${port + 1}`,
});
const ledger = () => ({
  ...progress(), events, ended: done(), troubles_not_listed: 0, complaints: [],
  troubles: [
    ...Array.from({ length: Math.floor(done() / 900) }, (_, i) => ({ first: 900 * i + 400, last: 900 * i + 402, fate: 'incomplete', cause: `stream 'fluo': frames ${900 * i + 399} to ${900 * i + 401} never came` })),
    ...Array.from({ length: Math.floor(done() / 2500) }, (_, i) => ({ first: 2500 * i + 711, last: 2500 * i + 711, fate: 'failed', cause: "analysis 'xrf': the spectrum has 1024 channels, and 4096 were expected" })),
  ],
  streams: streams(),
});
const parameters = [
  { name: 'roi_rows', description: 'rows that are summed, FROM:TO', dtype: 'str', default: '0:512' },
  { name: 'threshold', description: 'least counts of a pixel that counts', dtype: 'int', default: 3 },
  { name: 'energy', description: 'photon energy in keV', dtype: 'float', default: 12.4 },
  { name: 'dark_correction', description: 'subtract the dark image', dtype: 'bool', default: true },
  { name: 'mask', description: 'one byte per pixel; not 0: leave it out', dtype: 'binary', default: '' },
];
const set = Object.fromEntries(parameters.map((p) => [p.name, Buffer.from(p.dtype === 'bool' ? 'True' : String(p.default))]));

// --- the results -------------------------------------------------------------------------------------
const bump = (r, c, r0, c0, s) => Math.exp(-((r - r0) ** 2 + (c - c0) ** 2) / (2 * s * s));
const maps = {
  Fe: (r, c) => 900 * bump(r, c, 25, 35, 11) + 300 * bump(r, c, 60, 90, 16) + 5,
  Cu: (r, c) => 600 * bump(r, c, 50, 60, 14) + 2,
  Zn: (r, c) => 400 * (Math.sin(r / 6) ** 2) * bump(r, c, 40, 80, 40) + 1,
};
const noise = (i) => (Math.sin(i * 12.9898) * 43758.5453) % 1;
const array = (path, n) => {
  const [, group, name] = path.split('/');
  if (group === 'map') {
    return { shape: [rows, columns], at: (r, c) => (r * columns + c < n ? Math.round(maps[name](r, c) * (1 + 0.1 * noise(r * columns + c))) : NaN) };
  }
  if (path === '/pilatus/sum')
    return { shape: [512, 768], at: (r, c) => Math.round((n * 40) * Math.exp(-(((Math.hypot(r - 250, c - 380) % 90) - 45) ** 2) / 30) + n * 2 + (r === 100 && c === 200 ? 1e7 : 0)) };
  if (path === '/stack') return { shape: [12, 120, 160], at: (k, r, c) => 100 * bump(r, c, 20 + 7 * k, 30 + 8 * k, 14) };
  if (path === '/spectrum') return { shape: [4096], at: (i) => n * (2 + 60 * bump(i, 0, 640, 0, 14) + 22 * bump(i, 0, 805, 0, 15) + 9 * bump(i, 0, 864, 0, 15) + Math.exp(-i / 900) * 5) };
  if (path === '/energy') return { shape: [4096], at: (i) => i * 0.01 };
  return null;
};
const tree = (n) => {
  const of = (path, dtype, attributes = {}) => ({ path, kind: 'array', dtype, shape: array(path, n).shape, attributes });
  return [
    { path: '/map', kind: 'group', attributes: {} }, of('/map/Fe', 'float64', { units: 'counts' }), of('/map/Cu', 'float64', { units: 'counts' }), of('/map/Zn', 'float64', { units: 'counts' }),
    { path: '/pilatus', kind: 'group', attributes: {} }, of('/pilatus/sum', 'uint64', { units: 'counts', long_name: 'sum of all images' }),
    of('/spectrum', 'float64', { units: 'counts' }), of('/energy', 'float64', { units: 'keV' }), of('/stack', 'float32'),
    { path: '/events', kind: 'number', dtype: 'uint64', value: n, attributes: {} }, { path: '/sample', kind: 'text', value: 'leaf 12, north side', attributes: {} },
    { path: '/calibrated', kind: 'bool', value: true, attributes: {} },
  ];
};
const each = 300; // results per snapshot
const latest = () => Math.floor(done() / each);
const resultsAt = (snapshot) => (snapshot >= latest() ? done() : snapshot * each);
const span = (text, length) => (text ? text.split(':').map(Number) : [0, length]);

function view(query, n) {
  const found = array(query.get('path'), n);
  if (!found) return null;
  const { shape, at } = found;
  const width = Number(query.get('width') ?? 1024), height = Number(query.get('height') ?? 1024);
  const [c0, c1] = span(query.get('columns'), shape.at(-1));
  const out = { shape: [], columns: [c0, c1], rows: [0, 1], full: shape };
  let data;
  if (shape.length === 1) {
    const bins = Math.min(width, c1 - c0);
    data = new Float32Array(3 * bins);
    for (let b = 0; b < bins; ++b) {
      const from = c0 + Math.floor(((c1 - c0) * b) / bins), to = Math.max(from + 1, c0 + Math.floor(((c1 - c0) * (b + 1)) / bins));
      const values = Array.from({ length: to - from }, (_, i) => at(from + i));
      data[b] = Math.floor((from + to - 1) / 2);
      data[bins + b] = Math.min(...values);
      data[2 * bins + b] = Math.max(...values);
    }
    out.shape = [3, bins];
  } else {
    const [r0, r1] = span(query.get('rows'), shape.at(-2));
    const index = (query.get('index') ?? '').split(',').filter(Boolean).map(Number);
    const h = Math.min(height, r1 - r0), w = Math.min(width, c1 - c0);
    data = new Float32Array(h * w);
    for (let y = 0; y < h; ++y) for (let x = 0; x < w; ++x) data[y * w + x] = at(...index, r0 + Math.floor(((r1 - r0) * y) / h), c0 + Math.floor(((c1 - c0) * x) / w));
    Object.assign(out, { shape: [h, w], rows: [r0, r1] });
  }
  const finite = (shape.length === 1 ? data.subarray(out.shape[1]) : data).filter(Number.isFinite);
  return { ...out, data, range: finite.length ? [finite.reduce((a, b) => Math.min(a, b)), finite.reduce((a, b) => Math.max(a, b))] : [NaN, NaN] };
}

// --- the servers -------------------------------------------------------------------------------------
const json = (response, body, code = 200) => { response.writeHead(code, { 'Content-Type': 'application/json' }); response.end(JSON.stringify(body)); };
const read = async (request) => { const parts = []; for await (const part of request) parts.push(part); return Buffer.concat(parts); };

createServer(async (request, response) => {
  const url = new URL(request.url, 'http://mock');
  const route = url.pathname.replace('/api/v1/', '');
  const answers = { progress, status, ledger, config: () => config(request.headers.host.split(':')[0]), sequence: () => ({ parts: { line: { mapping: { pilatus: [[{ tags: ['generic'], constraint: 0 }]] } } }, sequence: ['line', 'line'] }), parameters: () => parameters };
  if (request.method === 'GET' && answers[route]) return json(response, answers[route]());
  if (route === 'logs') {
    const order = ['DEBUG', 'INFO', 'WARNING', 'ERROR'];
    return json(response, log.filter((l) => order.indexOf(l.levelname) >= order.indexOf(url.searchParams.get('level') ?? 'INFO')));
  }
  if (route.startsWith('parameter/')) {
    const p = parameters.find((each) => each.name === decodeURIComponent(route.slice(10)));
    if (!p) return json(response, { detail: 'Parameter not found' }, 404);
    if (request.method === 'GET') return response.end(set[p.name]);
    const body = await read(request);
    if (p.dtype === 'int' && !/^-?\d+$/.test(body.toString().trim())) return json(response, { detail: `parameter '${p.name}': "${body}" is not a whole number` }, 422);
    if (p.dtype === 'float' && Number.isNaN(Number(body.toString()))) return json(response, { detail: `parameter '${p.name}': "${body}" is not a number` }, 422);
    set[p.name] = body;
    return json(response, 'f'.repeat(64));
  }
  if (request.method === 'POST' && route === 'stop') { if (!finished()) scan.stopped = Date.now(); return json(response, null); }
  if (request.method === 'POST' && route === 'sequence') {
    const body = JSON.parse(await read(request));
    if (body.parts.line?.nobody) return json(response, { detail: "streams ['nobody'] are not available" }, 400);
    scan = { id: crypto.randomUUID(), began: Date.now(), stopped: 0 };
    say('INFO', 'controller', `scan ${scan.id}: ${events} events, streams [fluo, pilatus], 6 workers`);
    return json(response, scan.id);
  }
  const name = url.pathname === '/' ? 'index.html' : url.pathname.slice(1);
  try {
    const content = await readFile(join(dist, name));
    response.writeHead(200, { 'Content-Type': types[name.split('.').pop()],
      'Content-Security-Policy': `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self' http://${request.headers.host.split(':')[0]}:${port + 1}` });
    response.end(content);
  } catch {
    json(response, { detail: 'Not Found' }, 404);
  }
}).listen(port, '127.0.0.1', () => console.log(`http://127.0.0.1:${port}`));

createServer((request, response) => {
  const url = new URL(request.url, 'http://mock');
  const route = url.pathname.replace('/api/v1/', ''), query = url.searchParams;
  const number = query.has('snapshot') ? Number(query.get('snapshot')) : latest();
  const n = resultsAt(number);
  response.setHeader('Access-Control-Allow-Origin', '*');
  response.setHeader('Access-Control-Allow-Headers', 'authorization');
  response.setHeader('Access-Control-Expose-Headers', 'X-Scan, X-Snapshot, X-Shape, X-Full-Shape, X-Rows, X-Columns, X-Range');
  if (route === 'status') return json(response, true);
  if (route === 'snapshots') {
    return json(response, { scan: scan.id, scans: [{ scan: scan.id, latest: latest(), finished: finished() }], latest: latest(), finished: finished(),
      snapshots: Array.from({ length: latest() + 1 }, (_, i) => ({ number: i, seconds: scan.began / 1000 + (i * each) / perSecond, results: resultsAt(i) })) });
  }
  if (route === 'tree') return json(response, { scan: scan.id, snapshot: number, results: n, finished: finished(), items: tree(n) });
  if (route === 'value') {
    const found = array(query.get('path'), n);
    if (!found) return json(response, { detail: 'no such path' }, 404);
    const value = found.at(...query.get('at').split(',').map(Number));
    return json(response, { value: Number.isNaN(value) ? null : value, snapshot: number });
  }
  if (route === 'view') {
    const made = view(query, n);
    if (!made) return json(response, { detail: `path: there is no ${query.get('path')}` }, 404);
    response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'X-Scan': scan.id, 'X-Snapshot': String(number), 'X-Shape': made.shape.join(','),
      'X-Full-Shape': made.full.join(','), 'X-Rows': made.rows.join(':'), 'X-Columns': made.columns.join(':'), 'X-Range': made.range.join(',') });
    return response.end(Buffer.from(made.data.buffer));
  }
  if (route === 'events') {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    let last = '';
    const tell = () => {
      const data = JSON.stringify({ scan: scan.id, snapshot: latest(), results: done(), finished: finished() });
      if (data !== last) response.write(`event: snapshot\ndata: ${data}\n\n`);
      last = data;
    };
    tell();
    const timer = setInterval(tell, 1000 / Number(query.get('rate') ?? 10));
    return request.on('close', () => clearInterval(timer));
  }
  json(response, { detail: 'Not Found' }, 404);
}).listen(port + 1, '127.0.0.1');
