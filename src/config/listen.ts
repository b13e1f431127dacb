import { isIPv4, isIPv6 } from 'node:net';
import type { ListenAddress } from './loaded.ts';

/** The parts of HOST:PORT, an IPv6 host in brackets; null when it is none. */
export function parseListen(text: string): ListenAddress | null {
  const match = /^(?:\[([^\]]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text);
  if (match === null) return null;
  const [, v6, name, digits] = match;
  const port = Number(digits);
  const host = v6 ?? name ?? '';
  if (port > 65_535 || !isHost(host, v6 !== undefined)) return null;
  return { host, port, isLoopback: isLoopbackHost(host) };
}

/** Whether a host name or address means this machine and nothing else. */
export function isLoopbackHost(host: string): boolean {
  const name = host.toLowerCase();
  return name === 'localhost' || name === '::1' || (isIPv4(name) && name.startsWith('127.'));
}

function isHost(host: string, inBrackets: boolean): boolean {
  if (inBrackets) return isIPv6(host);
  if (/^[\d.]+$/.test(host)) return isIPv4(host);
  return host.length <= 253 && /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(host);
}
