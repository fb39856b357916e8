import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseJson } from '../src/api.ts';
import { brief, bytes, duration, measured, percent, rate, whole } from '../src/format.ts';
import { parseMap, postable, summary } from '../src/maps.ts';
import { Counters, Pace, parseBottleneck } from '../src/rates.ts';
import { colours, leastPositive, middle, paint, paintThree, place, ticks, valueAt } from '../src/results/colour.ts';
import { curveOf } from '../src/results/curve.tsx';
import { address, candidates, takeEvents } from '../src/results/server.ts';
import { isWhole, moved, parseView, rounded, whole as wholeWindow, zoomed } from '../src/results/view.ts';

const plain = (text: string) => text.replace(/\u202f/g, ' ').replace(/\u2212/g, '-');

test('numbers read as people write them', () => {
  assert.equal(plain(whole(1234567)), '1 234 567');
  assert.equal(plain(bytes(2147483648)), '2.15 GB');
  assert.equal(plain(bytes(999_600)), '1.00 MB');
  assert.equal(plain(bytes(0)), '0 B');
  assert.equal(plain(rate(0)), '0 /s');
  assert.equal(plain(rate(0.5)), '0.50 /s');
  assert.equal(plain(rate(12345)), '12.3 k /s');
  assert.equal(plain(percent(0.004)), '<1 %');
  assert.equal(plain(percent(0.999)), '99 %', 'not done before all is');
  assert.equal(plain(percent(1)), '100 %');
  assert.equal(plain(duration(59.4)), '59 s');
  assert.equal(plain(duration(3599.9)), '1:00 h');
  assert.equal(plain(duration(61)), '1:01 min');
  assert.equal(plain(duration(Infinity)), '\u2013');
  assert.equal(plain(measured(-1234)), '-1 234');
  assert.equal(plain(measured(0.00012345678)), '1.235e-4');
  assert.equal(plain(measured(1.5)), '1.5');
  assert.equal(plain(measured(100.04)), '100.04');
  assert.equal(measured(NaN), 'NaN');
  assert.equal(measured(null), '\u2013');
  assert.equal(plain(brief(1e7)), '1e7');
  assert.equal(plain(brief(7520000)), '7.52e6');
  assert.equal(plain(brief(45.678)), '45.7');
});

test('a rate needs two readings, and begins anew when a counter goes back', () => {
  const counters = new Counters(1);
  assert.equal(counters.read('a', 10, 0), null);
  assert.equal(counters.read('a', 30, 2), 10);
  assert.equal(counters.read('b', 5, 2), null);
  assert.equal(counters.read('a', 0, 3), null);
  assert.equal(counters.read('a', 4, 4), 4);
});

test('the pace is that of the last seconds, of one scan', () => {
  const pace = new Pace(10);
  assert.equal(pace.read('x', 0, 0), null);
  assert.equal(pace.read('x', 100, 1), 100);
  for (let t = 2; t <= 20; ++t) pace.read('x', 100 + (t - 1) * 10, t);
  assert.equal(pace.read('x', 300, 21), 10);
  assert.equal(pace.read('y', 5, 22), null);
});

test('the bottleneck is found in what status says', () => {
  const of = (line: string) => parseBottleneck(line, ['det', 'det2', 'fluo']);
  assert.deepEqual(of('nothing: it keeps up with its streams'), { kind: 'none', streams: [] });
  assert.deepEqual(of("streams: 'det' (silent for 3.2 s), 'fluo' (waiting for its instrument to connect)"), { kind: 'stream', streams: ['det', 'fluo'] });
  assert.deepEqual(of("stream 'det2': its ingester is away"), { kind: 'stream', streams: ['det2'] });
  assert.deepEqual(of('streams/det: does not answer'), { kind: 'stream', streams: ['det'] });
  assert.equal(of('workers: 4 of 4 are busy with 128 events; held back: det').kind, 'workers');
  assert.equal(of('the reducer: it is away').kind, 'reducer');
  assert.equal(of('members that have not come back since the controller was started again').kind, 'other');
});

test('maps are read in both forms, and said to be wrong', () => {
  assert.deepEqual(summary(parseMap('{"parts":{"a":{"det":[null,[]]},"b":{"det":[[]],"fluo":[[]]}},"sequence":["a","b","a"]}')),
    { events: 5, streams: ['det', 'fluo'], parts: ['a', 'b'] });
  assert.deepEqual(parseMap('{"det":[null]}'), { parts: { main: { det: [null] } }, sequence: ['main'] });
  assert.throws(() => parseMap('{"parts":{}}'), /both/);
  assert.throws(() => parseMap('['), /not JSON/);
  assert.throws(() => parseMap('3'), /object/);
  assert.throws(() => summary(parseMap('{"parts":{},"sequence":["x"]}')), /"x"/);
});

test('a map that was got can be posted again, without its wrap', () => {
  const got = { parts: { reserved_start_end: { mapping: { det: [] } }, a: { mapping: { det: [null] } } }, sequence: ['reserved_start_end', 'a', 'a', 'reserved_start_end'] };
  assert.deepEqual(postable(got), { parts: { a: { det: [null] } }, sequence: ['a', 'a'] });
});

test('values have their place between low and high', () => {
  const linear = { low: 0, high: 10, log: false }, log = { low: 1, high: 100, log: true };
  assert.equal(place(5, linear), 0.5);
  assert.equal(place(-1, linear), 0);
  assert.equal(place(11, linear), 1);
  assert.ok(Number.isNaN(place(NaN, linear)));
  assert.equal(place(10, log), 0.5);
  assert.equal(place(0, log), 0);
  assert.equal(valueAt(0.5, log), 10);
  assert.equal(valueAt(0.25, linear), 2.5);
  assert.ok(Number.isNaN(place(0, { low: 0, high: 0, log: true })), 'nothing positive, no logarithm');
});

test('hot pixels are left out of the range, holes too', () => {
  const pixels = Float32Array.from({ length: 10000 }, (_, i) => (i === 5 ? 1e9 : i === 6 ? NaN : i % 100));
  const [low, high] = middle(pixels)!;
  assert.ok(low >= 0 && low <= 1 && high >= 98 && high <= 99, `${low} ${high}`);
  assert.equal(middle(Float32Array.from([NaN])), null);
  assert.equal(leastPositive(Float32Array.from([-1, 0, 3, 2, NaN])), 2);
});

test('pictures are painted', () => {
  const out = new Uint8ClampedArray(16);
  paint(Float32Array.from([0, 1, NaN, 0.5]), { low: 0, high: 1, log: false }, 'grey', out);
  assert.deepEqual([...out], [0, 0, 0, 255, 255, 255, 255, 255, 0, 0, 0, 0, 128, 128, 128, 255]);
  const scaling = { low: 0, high: 2, log: false };
  const three = new Uint8ClampedArray(8);
  paintThree([{ pixels: Float32Array.from([2, NaN]), scaling }, null, { pixels: Float32Array.from([1, NaN]), scaling }], three);
  assert.deepEqual([...three], [255, 0, 128, 255, 0, 0, 0, 0]);
  assert.deepEqual([...colours('viridis').slice(0, 3)], [0x44, 0x01, 0x54]);
});

test('ticks are round', () => {
  assert.deepEqual(ticks(0, 100, 5), [0, 20, 40, 60, 80, 100]);
  assert.deepEqual(ticks(-0.25, 0.3, 3), [-0.2, 0, 0.2]);
  assert.deepEqual(ticks(3, 3, 3), [3]);
});

test('a window is zoomed about a point and kept inside', () => {
  const extent = { rows: 100, columns: 200 };
  const all = wholeWindow(extent);
  const in2 = zoomed(all, { row: 25, column: 150 }, 0.5, extent);
  assert.deepEqual(in2, { rows: [12.5, 62.5], columns: [75, 175] });
  assert.ok(!isWhole(in2, extent));
  assert.ok(isWhole(zoomed(in2, { row: 25, column: 150 }, 10, extent), extent));
  assert.deepEqual(moved(in2, -50, 1000, extent), { rows: [0, 50], columns: [100, 200] });
  assert.deepEqual(rounded(in2, extent), { rows: [12, 63], columns: [75, 175] });
  const small = zoomed({ rows: [5, 10], columns: [5, 10] }, { row: 7, column: 7 }, 0.001, extent);
  assert.equal(small.rows[1] - small.rows[0], 4);
  assert.deepEqual(zoomed({ rows: [0, 2], columns: [0, 2] }, { row: 1, column: 1 }, 0.1, { rows: 2, columns: 2 }), { rows: [0, 2], columns: [0, 2] });
});

const headers = (more: Record<string, string>) => new Headers({ 'X-Scan': 's', 'X-Snapshot': '7', ...more });

test('a view is read by its headers', () => {
  const body = Float32Array.from([1, 2, 3, 4, 5, 6]).buffer;
  const view = parseView(headers({ 'X-Shape': '2,3', 'X-Full-Shape': '5,100,200', 'X-Rows': '10:30', 'X-Columns': '0:30', 'X-Range': '1,6' }), body);
  assert.deepEqual([view.height, view.width, view.full, view.rows, view.columns, view.range, view.snapshot], [2, 3, [5, 100, 200], [10, 30], [0, 30], [1, 6], 7]);
  assert.equal(parseView(headers({ 'X-Shape': '2,3', 'X-Range': 'nan,nan' }), body).range, null);
  assert.throws(() => parseView(headers({ 'X-Shape': '2,4' }), body), /announced/);
});

test('a curve has a band of lowest to highest, in the order of what it is drawn against', () => {
  const of = (numbers: number[]) => parseView(headers({ 'X-Shape': `3,${numbers.length / 3}` }), Float32Array.from(numbers).buffer);
  const view = of([0, 1, 2, 5, NaN, 0, 6, NaN, 8]);
  assert.deepEqual(curveOf(view, null, false).low, [5, null, 0]);
  assert.deepEqual(curveOf(view, null, true).low, [5, null, null]);
  const against = curveOf(view, of([0, 1, 2, 30, 20, 10, 30, 20, 10]), false);
  assert.deepEqual(against.x, [10, 20, 30]);
  assert.deepEqual(against.high, [8, null, 6]);
  assert.deepEqual([...against.index], [2, 1, 0]);
});

test('the results are looked for where config says, and at the host of the page', () => {
  const page = { protocol: 'http:', hostname: 'beamline.example' };
  assert.deepEqual(candidates('http://127.0.0.1:5001', page), ['http://127.0.0.1:5001', 'http://beamline.example:5001']);
  assert.deepEqual(candidates('http://0.0.0.0:5001', page), ['http://beamline.example:5001']);
  assert.deepEqual(candidates('http://beamline.example:5001', page), ['http://beamline.example:5001']);
  assert.deepEqual(candidates('nonsense', page), []);
});

test('addresses name the moment and escape what they must', () => {
  const server = 'http://h:5001';
  assert.equal(address({ server, moment: { scan: null, snapshot: null } }, 'tree'), 'http://h:5001/api/v1/tree');
  assert.equal(address({ server, moment: { scan: 'a', snapshot: 3 } }, 'view', { path: '/a b&c', index: undefined, width: 5 }),
    'http://h:5001/api/v1/view?scan=a&snapshot=3&path=%2Fa+b%26c&width=5');
});

test('events are taken from a stream wherever it is cut', () => {
  const text = 'event: snapshot\ndata: {"a":1}\n\n: still here\n\nevent: snapshot\r\ndata: {"a":\r\ndata: 2}\r\n\r\n';
  for (let cut = 0; cut <= text.length; ++cut) {
    const seen: string[] = [];
    const take = (name: string, data: string) => seen.push(`${name} ${data}`);
    let rest = takeEvents(text.slice(0, cut), take);
    rest = takeEvents(rest + text.slice(cut), take);
    assert.deepEqual(seen, ['snapshot {"a":1}', 'snapshot {"a":\n2}'], `cut at ${cut}`);
    assert.equal(rest, '');
  }
});

test('JSON may hold numbers that are none', () => {
  assert.deepEqual(parseJson('{"value": NaN, "text": "NaN \\" Infinity", "list": [-Infinity, 1, Infinity]}'),
    { value: NaN, text: 'NaN " Infinity', list: [-Infinity, 1, Infinity] });
  assert.deepEqual(parseJson('{"value": 1.5}'), { value: 1.5 });
  assert.throws(() => parseJson('{"value": nonsense}'), SyntaxError);
});
