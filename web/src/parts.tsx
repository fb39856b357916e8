// Small things that several views are made of.
import type { ComponentChildren } from 'preact';
import type { Refusal } from './api.ts';
import { percent } from './format.ts';

export const icons: Record<string, string> = {
  overview: 'M3 6h5v5H3zM3 15h5v5H3zM16 10h5v6h-5zM8 8.5c5 0 4 4.5 8 4.5M8 17.500c5 0 4-4.5 8-4.5',
  results: 'M3 20V4M3 20h18M6 16l4-5 4 3 6-8',
  ledger: 'M5 3h14v18H5zM8.500 8h7M8.500 12h7M8.500 16h4',
  parameters: 'M4 7h9M18 7h2M4 17h2M11 17h9M15.500 4.5v5M8.500 14.5v5',
  log: 'M4 5h16v14H4zM7 10l3 2.500L7 15M12.500 15.500H17',
  start: 'M7 4.5v15l12-7.500z',
  close: 'M6 6l12 12M18 6L6 18',
  grow: 'M4 10V4h6M20 14v6h-6M4 4l6 6M20 20l-6-6',
  plus: 'M12 5v14M5 12h14',
  minus: 'M5 12h14',
  fit: 'M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5',
  settings: 'M4 7h9M18 7h2M4 17h2M11 17h9M15.500 4.5v5M8.500 14.5v5',
  back: 'M15 5l-7 7 7 7',
  forth: 'M9 5l7 7-7 7',
  light: 'M12 8a4 4 0 100 8 4 4 0 000-8zM12 2v2.500M12 19.500V22M2 12h2.500M19.500 12H22M5 5l1.700 1.700M17.300 17.300L19 19M5 19l1.700-1.700M17.300 6.700L19 5',
  dark: 'M20 14.5A8.500 8.500 0 119.500 4a7 7 0 0010.500 10.500z',
  auto: 'M12 3a9 9 0 100 18 9 9 0 000-18zM12 3v18M12 7l5-1M12 12h8.500M12 17l5 1',
};

export const Icon = ({ name }: { name: string }) => (
  <svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d={icons[name]} /></svg>
);

export function IconButton(props: { icon: string; label: string; onClick: () => void; pressed?: boolean; disabled?: boolean }) {
  return (
    <button type="button" class="icon-button" aria-label={props.label} title={props.label} aria-pressed={props.pressed}
      disabled={props.disabled} onClick={props.onClick}>
      <Icon name={props.icon} />
    </button>
  );
}

/** How full something is; `level` colours it. */
export function Meter(props: { label: string; part: number; level?: 'good' | 'warn' | 'bad'; text?: string }) {
  const part = Number.isFinite(props.part) ? Math.min(1, Math.max(0, props.part)) : 0;
  return (
    <div class={`meter ${props.level ?? 'good'}`} role="meter" aria-label={props.label} aria-valuemin={0} aria-valuemax={100}
      aria-valuenow={Math.round(part * 100)} aria-valuetext={props.text ?? percent(part)}>
      <span style={{ width: `${part * 100}%` }} />
    </div>
  );
}

/** Says what is missing when a route is not there, and what went wrong otherwise. */
export function Missing(props: { route: string; what: string; error: Refusal }) {
  const { status, message } = props.error;
  if (status === 401) return <p class="notice">This needs a token.</p>;
  return (
    <p class={`notice ${status === 404 ? '' : 'bad'}`} role="status">
      {status === 404
        ? <>{props.what} <code>{props.route}</code> answers 404.</>
        : <><code>{props.route}</code>: {message}</>}
    </p>
  );
}

export const Empty = ({ children }: { children: ComponentChildren }) => <p class="empty">{children}</p>;

export const fates: Record<string, string> = {
  folded: 'its results were folded',
  empty: 'was mapped, and the worker gave nothing',
  discarded: 'was for nobody',
  failed: 'made the analysis throw',
  incomplete: 'lacks the data of a stream',
  lost: 'was given up',
};
