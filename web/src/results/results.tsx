// What the reducer publishes, while the scan runs and afterwards.
import { useMemo, useRef, useState } from 'preact/hooks';
import { askJson, type Config, type Item, type Snapshots, type Tree } from '../api.ts';
import { clock, measured, short, times, whole } from '../format.ts';
import { useNewest, usePoll, useStored } from '../hooks.ts';
import { Empty, IconButton, Missing } from '../parts.tsx';
import { isPicture, PanelCard, panelOf, shapeOf, threeOf, type Panel } from './panel.tsx';
import { address, useHappenings, useServer, type Happened, type Moment, type Where } from './server.ts';

const live: Moment = { scan: null, snapshot: null };

/** The tree of a moment; while following, that of each new snapshot, not more often than twice a second. */
function useTree(where: Where | null, happened: Happened | null) {
  const last = useRef(0);
  const following = where?.moment.snapshot === null && !where.moment.scan;
  const wish = where ? JSON.stringify([where, following ? [happened?.scan, happened?.snapshot, happened?.finished] : 0]) : null;
  const { data: tree, error } = useNewest<Tree>(wish, async (signal) => {
    const pause = 500 - (performance.now() - last.current);
    if (following && pause > 0) await new Promise((done) => setTimeout(done, pause));
    last.current = performance.now();
    return askJson<Tree>(address(where!, 'tree'), { signal });
  });
  return { tree, error };
}

function TimeTravel(props: { server: string; moment: Moment; onMoment: (m: Moment) => void; happened: Happened | null }) {
  const { moment, onMoment, happened } = props;
  const chosen = moment.scan ? `?scan=${encodeURIComponent(moment.scan)}` : '';
  const { data, error } = usePoll<Snapshots>((signal) => askJson(`${props.server}/api/v1/snapshots${chosen}`, { signal }), 2, [moment.scan]);
  if (error) return <Missing route="api/v1/snapshots" what="There is no going back in time:" error={error} />;
  if (!data) return null;
  const all = data.snapshots;
  const isLive = moment.snapshot === null;
  const at = isLive ? all.length - 1 : Math.max(0, all.findIndex((s) => s.number === moment.snapshot));
  const shown = all[at];
  const latestScan = data.scans[0]?.scan ?? null;
  const go = (i: number) => {
    const to = all[Math.max(0, Math.min(all.length - 1, i))];
    if (to) onMoment({ scan: data.scan, snapshot: to.number });
  };
  return (
    <section class="card time" aria-label="Moment">
      <label><span class="hidden">Scan</span><select value={moment.scan ?? data.scan ?? ''} onChange={(e) => onMoment({ scan: e.currentTarget.value === latestScan ? null : e.currentTarget.value, snapshot: null })}>
        {data.scans.map((s, i) => <option value={s.scan}>{short(s.scan)} {s.finished ? 'finished' : 'running'}{i === 0 ? ', latest' : ''}</option>)}
        {data.scans.length === 0 && <option value="">no scan yet</option>}
      </select></label>
      <div class="slider">
        <IconButton icon="back" label="Snapshot before" onClick={() => go(at - 1)} disabled={at <= 0} />
        <input type="range" min={0} max={Math.max(0, all.length - 1)} value={at} aria-label="Snapshot" data-testid="time"
          aria-valuetext={shown ? `snapshot ${shown.number} of ${clock(shown.seconds)}` : 'none'} onInput={(e) => go(Number(e.currentTarget.value))} />
        <IconButton icon="forth" label="Snapshot after" onClick={() => go(at + 1)} disabled={isLive || at >= all.length - 1} />
      </div>
      <button type="button" class={`live${isLive ? ' on' : ''}`} aria-pressed={isLive} onClick={() => onMoment({ ...moment, snapshot: null })}>Live</button>
      <span class="when" data-testid="snapshot" role="status">
        {isLive && happened && !moment.scan ? <>snapshot {happened.snapshot}, {times(happened.results, 'result')}{happened.finished ? ', finished' : ''}</>
          : shown ? <>snapshot {shown.number} of {clock(shown.seconds)}, {times(shown.results, 'result')}</> : 'no snapshot yet'}
      </span>
    </section>
  );
}

function ItemList(props: { items: Item[]; board: Panel[]; onToggle: (item: Item) => void; onThree: () => void }) {
  const [filter, setFilter] = useState('');
  const wanted = filter.toLowerCase();
  const shown = props.items.filter((i) => i.path.toLowerCase().includes(wanted) && i.path !== '/' && (i.kind !== 'group' || !wanted));
  const open = new Set(props.board.filter((p) => p.paths.length === 1).map((p) => p.paths[0]));
  const what = (i: Item) => (i.kind === 'number' ? measured(Number(i.value)) : i.kind === 'array' ? shapeOf(i) : i.kind === 'group' ? '' : i.kind === 'text' || i.kind === 'bool' ? String(i.value ?? i.kind).slice(0, 24) : i.kind);
  return (
    <section class="card items" aria-label="Items">
      <div class="title"><h2>Published <span class="dim">{whole(props.items.filter((i) => i.kind !== 'group').length)}</span></h2>
        {props.items.filter(isPicture).length > 1 && <button type="button" onClick={props.onThree} title="Three maps as red, green and blue">RGB</button>}</div>
      <input type="search" placeholder="find" aria-label="Find an item" value={filter} onInput={(e) => setFilter(e.currentTarget.value)} />
      <ul>
        {shown.map((i) => {
          const depth = i.path.split('/').length - 2;
          const name = wanted ? i.path : i.path.split('/').pop();
          return (
            <li style={{ paddingLeft: `${wanted ? 0 : depth * 14}px` }}>
              {i.kind === 'group' ? <span class="group">{name}</span> : (
                <button type="button" aria-pressed={open.has(i.path)} onClick={() => props.onToggle(i)} title={`${i.path} ${i.dtype ?? ''}`}>
                  <span>{name}</span><span class="dim">{what(i)}</span>
                </button>
              )}
            </li>
          );
        })}
      </ul>
      {shown.length === 0 && <Empty>{props.items.length ? 'Nothing of that name.' : 'Nothing is published yet.'}</Empty>}
    </section>
  );
}

/** What a viewer who has chosen nothing sees. */
function firstBoard(items: Item[]): Panel[] {
  const rank = (i: Item) => (isPicture(i) ? 0 : i.kind === 'array' ? 1 : 2);
  return items.filter((i) => (i.kind === 'array' || i.kind === 'number') && !i.path.startsWith('/scan/')).sort((a, b) => rank(a) - rank(b)).slice(0, 4).map((i) => panelOf(i.path));
}

export function ResultsView({ config, perSecond }: { config: Config | null; perSecond: number }) {
  const { server, trouble } = useServer(config);
  const [moment, setMoment] = useState<Moment>(live);
  const [board, setBoard] = useStored<Panel[] | null>(`board.${config?.analysis ?? ''}`, null);
  const [tall, setTall] = useState<number | null>(null);
  const follow = moment.snapshot === null;
  const happened = useHappenings(server, perSecond, follow && !moment.scan);
  const where = useMemo<Where | null>(() => (server ? { server, moment } : null), [server, moment]);
  const { tree, error } = useTree(where, happened);
  const round = useRound(follow ? `${happened?.scan} ${happened?.snapshot} ${tree?.snapshot}` : '');

  if (!config) return null;
  if (!config.results) return (
    <section class="card"><Empty>No process of this system serves results while a scan runs: <code>results</code> of
      <code>api/v1/config</code> is {config.results === null ? 'null' : 'not there'}. They are in the output file when the scan is over.</Empty></section>
  );
  if (!server) return trouble ? <p class="notice bad" role="alert">The results are served at <code>{config.results}</code>, and this browser does not reach it: {trouble.message}</p> : null;
  const items = tree?.items ?? [];
  const panels = board ?? firstBoard(items);
  const change = (i: number, panel: Panel | null) => setBoard(panels.flatMap((p, j) => (j === i ? (panel ? [panel] : []) : [p])));
  const toggle = (item: Item) => {
    const at = panels.findIndex((p) => p.paths.length === 1 && p.paths[0] === item.path);
    setTall(null);
    setBoard(at >= 0 ? panels.filter((_, i) => i !== at) : [panelOf(item.path), ...panels]);
  };
  const three = () => setBoard([threeOf(items.filter(isPicture).slice(0, 3).map((i) => i.path).concat(['', '', '']).slice(0, 3).map((p) => p || null)), ...panels]);
  return (
    <>
      <TimeTravel server={server} moment={moment} onMoment={setMoment} happened={happened} />
      {error && <Missing route="api/v1/tree" what="There are no results to be seen:" error={error} />}
      <div class="results">
        <ItemList items={items} board={panels} onToggle={toggle} onThree={three} />
        <div class="board">
          {panels.map((panel, i) => (tall === null || tall === i) && (
            <PanelCard key={`${panel.paths.length === 3 ? `three ${i}` : panel.paths[0]}`} panel={panel} items={items} where={where!} round={round} tall={tall === i}
              onChange={(p) => change(i, p)} onClose={() => { setTall(null); change(i, null); }} onTall={() => setTall(tall === i ? null : i)} />
          ))}
          {panels.length === 0 && items.length > 0 && <Empty>Choose something from the list.</Empty>}
        </div>
      </div>
    </>
  );
}

/** Counts up when the text changes. */
function useRound(text: string): number {
  const seen = useRef({ text, round: 0 });
  if (seen.current.text !== text) seen.current = { text, round: seen.current.round + 1 };
  return seen.current.round;
}
