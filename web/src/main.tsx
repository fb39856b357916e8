// The frame of the page: the scan in hand, the views, the theme, the token.
import { render } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import 'uplot/dist/uPlot.min.css';
import './style.css';
import { askJson, control, post, useToken, whenTokenIsWanted, type Config, type Progress } from './api.ts';
import { duration, percent, rate, short, whole } from './format.ts';
import { usePoll, useStored } from './hooks.ts';
import { LedgerView } from './ledger.tsx';
import { LogView } from './log.tsx';
import { Overview } from './overview.tsx';
import { ParametersView } from './parameters.tsx';
import { Icon } from './parts.tsx';
import { Pace } from './rates.ts';
import { ResultsView } from './results/results.tsx';
import { StartView } from './start.tsx';

const views = ['overview', 'results', 'ledger', 'parameters', 'log', 'start'] as const;
type View = (typeof views)[number];
const titles: Record<View, string> = {
  overview: 'Overview', results: 'Results', ledger: 'Ledger', parameters: 'Parameters', log: 'Log', start: 'Start',
};
const refreshRates = [0.5, 1, 2, 5, 10];
const running = ['arming', 'running', 'draining'];

function viewOfAddress(): View {
  const name = location.hash.replace(/^#\/?/, '').split('/')[0] as View;
  return views.includes(name) ? name : 'overview';
}

function useView(): View {
  const [view, setView] = useState(viewOfAddress());
  useEffect(() => {
    const change = () => setView(viewOfAddress());
    window.addEventListener('hashchange', change);
    return () => window.removeEventListener('hashchange', change);
  }, []);
  return view;
}

/** The keys 1 to 6 open the views. */
function useKeys() {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if ((event.target as Element).closest('input, textarea, select, dialog')) return;
      const view = views[Number(event.key) - 1];
      if (view) location.hash = `/${view}`;
    };
    document.addEventListener('keydown', pressed);
    return () => document.removeEventListener('keydown', pressed);
  }, []);
}

function Dialog(props: { open: boolean; label: string; onClose: () => void; children: preact.ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (props.open && !dialog.current!.open) dialog.current!.showModal();
    if (!props.open && dialog.current!.open) dialog.current!.close();
  }, [props.open]);
  return <dialog ref={dialog} aria-label={props.label} onClose={props.onClose}>{props.open && props.children}</dialog>;
}

function TokenDialog({ onToken }: { onToken: () => void }) {
  const [why, setWhy] = useState<string | null>(null);
  const [text, setText] = useState('');
  const last = useRef(0); // while the viewer types, later answers of 401 say nothing new
  useEffect(() => whenTokenIsWanted((reason) => {
    if (performance.now() - last.current > 1000) setWhy((open) => open ?? reason);
  }), []);
  const enter = (event: Event) => {
    event.preventDefault();
    last.current = performance.now();
    useToken(text);
    setWhy(null);
    onToken();
  };
  return (
    <Dialog open={why !== null} label="Token" onClose={() => setWhy(null)}>
      <form onSubmit={enter}>
        <h2>A token, please</h2>
        <p>This system shows itself to who has a token. It is kept until this tab is closed.</p>
        {why && <p class="notice bad" role="alert">{why}</p>}
        <label>Token <input type="password" autocomplete="off" value={text} autofocus
          onInput={(e) => setText(e.currentTarget.value)} /></label>
        <div class="buttons"><button type="submit" class="primary">Use it</button></div>
      </form>
    </Dialog>
  );
}

function StopButton({ progress, again }: { progress: Progress; again: () => void }) {
  const [asking, setAsking] = useState(false);
  const [trouble, setTrouble] = useState('');
  const stop = async () => {
    try {
      await post('stop');
      setAsking(false);
      again();
    } catch (error) {
      setTrouble((error as Error).message);
    }
  };
  return (
    <>
      <button type="button" class="danger" onClick={() => { setTrouble(''); setAsking(true); }}>Stop</button>
      <Dialog open={asking} label="Stop the scan" onClose={() => setAsking(false)}>
        <h2>Stop this scan?</h2>
        <p>{whole(progress.total_events - progress.completed_events)} of {whole(progress.total_events)} events are still
          to come. What is there already is mapped and folded; the rest will be lost.</p>
        {trouble && <p class="notice bad" role="alert">{trouble}</p>}
        <div class="buttons">
          <button type="button" onClick={() => setAsking(false)}>Go on</button>
          <button type="button" class="danger" onClick={stop}>Stop the scan</button>
        </div>
      </Dialog>
    </>
  );
}

/** What the scan in hand does, in one line that is always there. */
function ScanLine(props: { progress: Progress | null; error: { message: string; status: number } | null; pace: number | null; again: () => void }) {
  const { progress, error, pace } = props;
  if (error && error.status !== 401)
    return <div class="scan"><span class="state failed" role="alert">{error.status === 0 ? 'Nobody answers: is the controller running?' : error.message}</span></div>;
  if (!progress) return <div class="scan" />;
  const { state, total_events: total, completed_events: done } = progress;
  const active = running.includes(state);
  const part = total ? done / total : 0;
  return (
    <div class="scan">
      <span class={`state ${state}`} data-testid="state">{state}</span>
      {progress.scan && <span class="scan-id" title={progress.scan}>{short(progress.scan)}</span>}
      {total > 0 && (
        <div class="bar" role="progressbar" aria-label="Progress of the scan" aria-valuemin={0} aria-valuemax={total}
          aria-valuenow={done} aria-valuetext={`${done} of ${total} events`}>
          <span class={state} style={{ width: `${part * 100}%` }} />
        </div>
      )}
      {total > 0 && <span class="count"><b data-testid="completed">{whole(done)}</b><span class="wide"> of {whole(total)}</span> <span class="dim">{percent(part)}</span></span>}
      {active && pace !== null && <span class="dim wide">{rate(pace)}</span>}
      {active && <span class="left" data-testid="left">{pace && pace > 0 ? `${duration((total - done) / pace)} left` : ''}</span>}
      {active && <StopButton progress={progress} again={props.again} />}
    </div>
  );
}

const themes = ['auto', 'light', 'dark'] as const;

function App() {
  const view = useView();
  useKeys();
  const [theme, setTheme] = useStored<(typeof themes)[number]>('theme', 'auto');
  const [perSecond, setPerSecond] = useStored('rate', 2);
  const [tokens, setTokens] = useState(0);
  const pace = useRef(new Pace());
  const [eventsPerSecond, setEventsPerSecond] = useState<number | null>(null);
  const progress = usePoll<Progress>((signal) => askJson(control('progress'), { signal }), 1 / perSecond, [tokens]);
  const [resultsAway, setResultsAway] = useState(false); // then they are looked for more often
  const config = usePoll<Config>((signal) => askJson(control('config'), { signal }), resultsAway ? 1 : 5, [tokens]);

  useEffect(() => setResultsAway(config.data?.results === null), [config.data]);
  useEffect(() => {
    if (theme === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }, [theme]);
  useEffect(() => {
    const p = progress.data;
    if (p) setEventsPerSecond(pace.current.read(p.scan, p.completed_events, performance.now() / 1000));
  }, [progress.data]);
  useEffect(() => {
    const p = progress.data;
    const part = p && p.total_events ? `${Math.floor((100 * p.completed_events) / p.total_events)} % ` : '';
    document.title = p ? `${running.includes(p.state) ? part : ''}${p.state} \u00b7 dtranspose` : 'dtranspose';
  }, [progress.data]);

  const interval = 1 / perSecond;
  return (
    <>
      <a class="skip" href="#content" onClick={(e) => { e.preventDefault(); document.getElementById('content')?.focus(); }}>To the content</a>
      <header>
        <h1><img src="icon.svg" alt="" width="26" height="26" /> <span>dtranspose</span></h1>
        <ScanLine progress={progress.data} error={progress.error} pace={eventsPerSecond} again={progress.again} />
        <div class="options">
          <label class="refresh"><span class="hidden">How often the page asks</span>
            <select value={perSecond} onChange={(e) => setPerSecond(Number(e.currentTarget.value))}>
              {refreshRates.map((r) => <option value={r}>{r} Hz</option>)}
            </select>
          </label>
          <button type="button" class="icon-button" title={`Theme: ${theme}`} aria-label={`Theme: ${theme}. Change it`}
            onClick={() => setTheme(themes[(themes.indexOf(theme) + 1) % themes.length]!)}><Icon name={theme} /></button>
        </div>
      </header>
      <nav aria-label="Views">
        {views.map((name, i) => (
          <a href={`#/${name}`} aria-current={name === view ? 'page' : undefined} title={`${titles[name]} (key ${i + 1})`}>
            <Icon name={name} /><span>{titles[name]}</span>
          </a>
        ))}
      </nav>
      <main id="content" tabIndex={-1} aria-label={titles[view]}>
        {view === 'overview' && <Overview progress={progress.data} config={config.data} pace={eventsPerSecond} interval={interval} />}
        {view === 'results' && <ResultsView config={config.data} perSecond={perSecond} key={tokens} />}
        {view === 'ledger' && <LedgerView interval={interval} />}
        {view === 'parameters' && <ParametersView key={tokens} />}
        {view === 'log' && <LogView interval={interval} />}
        {view === 'start' && <StartView progress={progress.data} again={progress.again} />}
      </main>
      <TokenDialog onToken={() => setTokens((n) => n + 1)} />
    </>
  );
}

const root = document.getElementById('page')!;
root.textContent = '';
render(<App />, root);
