// What everybody said.
import { useEffect, useRef, useState } from 'preact/hooks';
import { askJson, control, type LogLine } from './api.ts';
import { clock, times } from './format.ts';
import { usePoll, useStored } from './hooks.ts';
import { Empty, Missing } from './parts.tsx';

const levels = ['DEBUG', 'INFO', 'WARNING', 'ERROR'];
const longest = 2000; // lines shown

export function LogView({ interval }: { interval: number }) {
  const [level, setLevel] = useStored('level', 'INFO');
  const [text, setText] = useState('');
  const [follow, setFollow] = useState(true);
  const end = useRef<HTMLDivElement>(null);
  const { data, error } = usePoll<LogLine[]>((signal) => askJson(control(`logs?level=${level}`), { signal }), Math.max(1, interval), [level]);
  const wanted = text.toLowerCase();
  const lines = (data ?? []).filter((l) => `${l.component} ${l.msg}`.toLowerCase().includes(wanted)).slice(-longest);
  useEffect(() => {
    if (follow && end.current) end.current.scrollTop = end.current.scrollHeight;
  }, [data, follow, wanted]);
  if (error) return <Missing route="api/v1/logs" what="This system keeps no log for the page:" error={error} />;
  return (
    <section class="card log" aria-label="Log">
      <div class="toolbar">
        <label>From level <select value={level} onChange={(e) => setLevel(e.currentTarget.value)}>{levels.map((l) => <option>{l}</option>)}</select></label>
        <label>With <input type="search" placeholder="text or component" value={text} onInput={(e) => setText(e.currentTarget.value)} /></label>
        <label class="check"><input type="checkbox" checked={follow} onChange={(e) => setFollow(e.currentTarget.checked)} /> Follow</label>
        <span class="dim">{times(lines.length, 'line')}</span>
      </div>
      {data && lines.length === 0 && <Empty>Nothing was said at this level.</Empty>}
      <div class="lines" ref={end} tabIndex={0} role="log" aria-label="Log lines">
        {lines.map((l) => (
          <p class={`line ${l.levelname?.toLowerCase()}`}>
            <time title={new Date(l.time * 1000).toISOString()}>{clock(l.time)}</time>
            <span class="level">{l.levelname}</span>
            <span class="component">{l.component}</span>
            <span class="text">{l.msg}</span>
          </p>
        ))}
      </div>
    </section>
  );
}
