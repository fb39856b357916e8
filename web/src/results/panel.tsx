// One item, or three as red, green and blue, on the board.
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Item } from '../api.ts';
import { measured } from '../format.ts';
import { IconButton } from '../parts.tsx';
import { scaleNames, type RangeMode } from './colour.ts';
import { CurvePlot } from './curve.tsx';
import { Picture, plainLook, type Look } from './picture.tsx';
import type { Where } from './server.ts';

export interface Panel {
  paths: (string | null)[]; // one, or three
  look: Look;
  index: number[];
  x: string | null;
}

export const panelOf = (path: string): Panel => ({ paths: [path], look: plainLook, index: [], x: null });
export const threeOf = (paths: (string | null)[]): Panel => ({ paths, look: plainLook, index: [], x: null });

interface Props {
  panel: Panel;
  items: Item[];
  where: Where;
  round: number;
  tall: boolean;
  onChange: (panel: Panel) => void;
  onClose: () => void;
  onTall: () => void;
}

const unitOf = (item: Item | undefined) => {
  const unit = item?.attributes?.units ?? item?.attributes?.unit;
  return typeof unit === 'string' ? unit : '';
};
export const shapeOf = (item: Item) => (item.shape ?? []).join(' \u00d7 ');
export const isPicture = (item: Item) => item.kind === 'array' && (item.shape?.length ?? 0) >= 2;

function NumberField(props: { label: string; value: number | null; onChange: (value: number | null) => void }) {
  const [text, setText] = useState(props.value === null ? '' : String(props.value));
  useEffect(() => setText(props.value === null ? '' : String(props.value)), [props.value]);
  return (
    <label>{props.label} <input type="text" inputMode="decimal" size={7} placeholder="auto" value={text} onInput={(e) => setText(e.currentTarget.value)}
      onChange={() => { const n = Number(text.replace(',', '.')); props.onChange(text.trim() === '' || Number.isNaN(n) ? null : n); }} /></label>
  );
}

function Settings({ panel, curve, items, onChange }: { panel: Panel; curve: Item | null; items: Item[]; onChange: (p: Panel) => void }) {
  const { look } = panel;
  const set = (change: Partial<Look>) => onChange({ ...panel, look: { ...look, ...change } });
  const same = curve ? items.filter((i) => i.kind === 'array' && i.shape?.length === 1 && i.shape[0] === curve.shape![0] && i.path !== curve.path) : [];
  const pictures = items.filter(isPicture);
  return (
    <div class="settings">
      {panel.paths.length === 3 && ['Red', 'Green', 'Blue'].map((name, c) => (
        <label>{name} <select value={panel.paths[c] ?? ''} onChange={(e) => onChange({ ...panel, paths: panel.paths.map((p, i) => (i === c ? e.currentTarget.value || null : p)) })}>
          <option value="">nothing</option>{pictures.map((i) => <option>{i.path}</option>)}
        </select></label>
      ))}
      {!curve && panel.paths.length === 1 && (
        <label>Colours <select value={look.scale} onChange={(e) => set({ scale: e.currentTarget.value })}>{scaleNames.map((n) => <option>{n}</option>)}</select></label>
      )}
      <label class="check"><input type="checkbox" checked={look.log} onChange={(e) => set({ log: e.currentTarget.checked })} /> Logarithmic</label>
      {!curve && (
        <label>Range <select value={look.range} onChange={(e) => set({ range: e.currentTarget.value as RangeMode })}>
          <option value="most">without outliers</option><option value="full">lowest to highest</option><option value="fixed">fixed</option>
        </select></label>
      )}
      {(curve || look.range === 'fixed') && (
        <><NumberField label="from" value={look.low} onChange={(low) => set({ low })} /><NumberField label="to" value={look.high} onChange={(high) => set({ high })} /></>
      )}
      {!curve && (
        <>
          <label>Pixels that share a dot <select value={look.reduce} onChange={(e) => set({ reduce: e.currentTarget.value as Look['reduce'] })}>
            <option value="mean">mean</option><option value="max">highest</option><option value="nearest">one of them</option>
          </select></label>
          <label class="check"><input type="checkbox" checked={look.stretch ?? false} onChange={(e) => set({ stretch: e.currentTarget.checked })} /> Fill the frame</label>
        </>
      )}
      {same.length > 0 && (
        <label>Against <select value={panel.x ?? ''} onChange={(e) => onChange({ ...panel, x: e.currentTarget.value || null })}>
          <option value="">the index</option>{same.map((i) => <option>{i.path}</option>)}
        </select></label>
      )}
    </div>
  );
}

/** A number, and how it went while the page was looking. */
function NumberItem({ item }: { item: Item }) {
  const past = useRef<number[]>([]);
  const value = typeof item.value === 'number' ? item.value : Number(item.value);
  const seen = past.current;
  if (Number.isFinite(value) && seen[seen.length - 1] !== value) seen.push(value);
  if (seen.length > 300) seen.shift();
  const low = Math.min(...seen), high = Math.max(...seen);
  const points = seen.map((v, i) => `${(i / Math.max(1, seen.length - 1)) * 100},${high > low ? 30 - ((v - low) / (high - low)) * 28 : 16}`).join(' ');
  return (
    <div class="number-item">
      <output data-testid="number">{measured(value)} <small>{unitOf(item)}</small></output>
      {seen.length > 1 && <svg viewBox="0 0 100 32" preserveAspectRatio="none" aria-hidden="true"><polyline points={points} /></svg>}
    </div>
  );
}

function Sliders({ item, panel, onChange }: { item: Item; panel: Panel; onChange: (p: Panel) => void }) {
  const leading = item.shape!.slice(0, -2);
  return (
    <div class="sliders">
      {leading.map((n, d) => {
        const at = Math.min(n - 1, panel.index[d] ?? 0);
        const move = (to: number) => onChange({ ...panel, index: leading.map((m, i) => (i === d ? Math.max(0, Math.min(n - 1, to)) : Math.min(m - 1, panel.index[i] ?? 0))) });
        return (
          <div class="slider">
            <IconButton icon="back" label={`Slice before, dimension ${d}`} onClick={() => move(at - 1)} disabled={at <= 0} />
            <input type="range" min={0} max={n - 1} value={at} aria-label={`Slice of dimension ${d}`} aria-valuetext={`${at} of ${n}`} onInput={(e) => move(Number(e.currentTarget.value))} />
            <IconButton icon="forth" label={`Slice after, dimension ${d}`} onClick={() => move(at + 1)} disabled={at >= n - 1} />
            <span class="fig">{at} / {n - 1}</span>
          </div>
        );
      })}
    </div>
  );
}

function Attributes({ item }: { item: Item }) {
  const entries = Object.entries(item.attributes ?? {});
  if (entries.length === 0) return null;
  return (
    <details class="attributes"><summary>{entries.length} attribute{entries.length === 1 ? '' : 's'}</summary>
      <dl>{entries.map(([name, value]) => <><dt>{name}</dt><dd>{typeof value === 'object' ? JSON.stringify(value) : String(value)}</dd></>)}</dl>
    </details>
  );
}

function Content(p: Props & { item: Item }) {
  const { item, panel } = p;
  const shape = item.shape ?? [];
  if (item.kind === 'number') return <NumberItem item={item} />;
  if (item.kind === 'text' || item.kind === 'bool')
    return <p class="text-item">{item.value === undefined ? 'too long to be shown' : String(item.value)}</p>;
  if (item.kind !== 'array' || shape.some((n) => n === 0) || shape.length === 0)
    return <p class="empty">{item.kind === 'array' ? 'empty so far' : `${item.kind}: cannot be drawn`}</p>;
  if (shape.length === 1)
    return <CurvePlot where={p.where} round={p.round} path={item.path} length={shape[0]!} x={panel.x && p.items.some((i) => i.path === panel.x) ? panel.x : null}
      log={panel.look.log} low={panel.look.low} high={panel.look.high} unit={unitOf(item)} tall={p.tall} />;
  const leading = shape.slice(0, -2);
  const index = leading.map((n, d) => Math.min(n - 1, panel.index[d] ?? 0));
  return (
    <>
      {leading.length > 0 && <Sliders item={item} panel={panel} onChange={p.onChange} />}
      <Picture where={p.where} round={p.round} paths={panel.paths} index={index} extent={{ rows: shape[shape.length - 2]!, columns: shape[shape.length - 1]! }}
        look={panel.look} tall={p.tall} names={panel.paths.map((path) => path?.split('/').pop() ?? '')} />
    </>
  );
}

export function PanelCard(p: Props) {
  const [open, setOpen] = useState(p.panel.paths.length === 3 && p.panel.paths.every((path) => !path));
  const three = p.panel.paths.length === 3;
  const shown = p.panel.paths.map((path) => p.items.find((i) => i.path === path));
  const item = shown.find((i) => i);
  const curve = !three && item?.kind === 'array' && item.shape?.length === 1 ? item : null;
  const drawn = item?.kind === 'array';
  const shapes = new Set(shown.filter((i) => i).map((i) => shapeOf(i!)));
  const title = three ? 'Red, green, blue' : p.panel.paths[0]!;
  return (
    <section class={`card panel${p.tall ? ' tall' : ''}${three ? ' three' : ''}`} aria-label={title} data-path={title}>
      <div class="title">
        <h2 title={title}>{three ? p.panel.paths.map((path, c) => path && <span class={`channel c${c}`}>{path.split('/').pop()} </span>) : title}
          {three && !item && 'RGB'}</h2>
        {item && <span class="dim shape">{shapeOf(item)} {item.dtype} {!three && unitOf(item)}</span>}
        <span class="tools">
          {(drawn || three) && <IconButton icon="settings" label={`Settings of ${title}`} pressed={open} onClick={() => setOpen(!open)} />}
          {drawn && <IconButton icon="grow" label={p.tall ? 'Smaller' : 'Larger'} pressed={p.tall} onClick={p.onTall} />}
          <IconButton icon="close" label={`Close ${title}`} onClick={p.onClose} />
        </span>
      </div>
      {open && <Settings panel={p.panel} curve={curve} items={p.items} onChange={p.onChange} />}
      {!item ? <p class="empty">{three && p.panel.paths.every((path) => !path) ? 'Choose up to three maps of the same shape.' : 'This is not in the results now.'}</p>
        : shapes.size > 1 ? <p class="refused">They differ in shape: {[...shapes].join(', ')}</p>
        : <Content {...p} panel={three ? { ...p.panel, paths: p.panel.paths.map((path, i) => (shown[i] ? path : null)) } : p.panel} item={item} />}
      {!three && item && <Attributes item={item} />}
    </section>
  );
}
