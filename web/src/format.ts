// Numbers and times as people read them.

const thin = '\u202f'; // a narrow blank that does not break

/** 12345678 -> "12 345 678". */
export function whole(n: number): string {
  if (!Number.isFinite(n)) return '\u2013';
  return Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, thin);
}

function scaled(n: number, units: string[]): string {
  let i = 0;
  while (Math.abs(n) >= 999.5 && i < units.length - 1) {
    n /= 1000;
    ++i;
  }
  const digits = Math.abs(n) >= 99.5 || (i === 0 && Number.isInteger(n)) ? 0 : Math.abs(n) >= 9.95 ? 1 : 2;
  return `${n.toFixed(digits)}${units[i] ? thin + units[i] : ''}`;
}

export const bytes = (n: number) => scaled(n, ['B', 'kB', 'MB', 'GB', 'TB', 'PB']);

/** Per second. */
export const rate = (n: number) => `${n < 0.005 ? '0' : scaled(n, ['', 'k', 'M', 'G'])}${thin}/s`;

export const percent = (part: number) => {
  const p = part * 100;
  return `${p > 0 && p < 1 ? '<1' : p > 99 && p < 100 ? '99' : p.toFixed(0)}${thin}%`;
};

export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '\u2013';
  const s = Math.max(0, Math.round(seconds));
  const two = (n: number) => n.toString().padStart(2, '0');
  if (s < 60) return `${s}${thin}s`;
  if (s < 3600) return `${Math.floor(s / 60)}:${two(s % 60)}${thin}min`;
  if (s < 86400) return `${Math.floor(s / 3600)}:${two(Math.floor((s % 3600) / 60))}${thin}h`;
  return `${Math.floor(s / 86400)}${thin}d ${Math.floor((s % 86400) / 3600)}${thin}h`;
}

export function clock(unixSeconds: number, withSeconds = true): string {
  return new Date(unixSeconds * 1000).toLocaleTimeString('en-GB', {
    hour: '2-digit', minute: '2-digit', second: withSeconds ? '2-digit' : undefined,
  });
}

/** A measured value: as many digits as say something. */
export function measured(x: number | null | undefined): string {
  if (x === null || x === undefined) return '\u2013';
  if (Number.isNaN(x)) return 'NaN';
  if (!Number.isFinite(x)) return x > 0 ? '\u221e' : '\u2212\u221e';
  if (Number.isInteger(x) && Math.abs(x) < 1e7) return whole(x).replace('-', '\u2212');
  const size = Math.abs(x);
  const text = size >= 1e6 || size < 1e-3 ? x.toExponential(3) : x.toPrecision(5);
  return text.replace(/(\.\d*?)0+(e|$)/, '$1$2').replace(/\.(e|$)/, '$1').replace(/-/g, '\u2212');
}

/** As `measured`, with three digits: for axes and colour bars. */
export function brief(x: number): string {
  const size = Math.abs(x);
  if (x === 0 || !Number.isFinite(x)) return measured(x);
  if (size >= 1e5 || size < 1e-3) return x.toExponential(2).replace(/\.?0+e/, 'e').replace('e+', 'e').replace(/-/g, '\u2212');
  return measured(Number(x.toPrecision(3)));
}

/** Of a file name or an id only what tells it from others. */
export const short = (id: string) => (/^[0-9a-f]{8}-/.test(id) ? id.slice(0, 8) : id);

export const times = (n: number, thing: string) => `${whole(n)} ${thing}${n === 1 ? '' : 's'}`;
