// Asks again and again while the page is looked at.

import { useEffect, useRef, useState } from "preact/hooks";
import { reason } from "./api/client";

export interface Polled<T> {
  data: T | undefined; // the last good answer
  error: string | undefined; // why the newest attempt failed
  at: number; // when data came, in ms; 0: never
}

/**
 * Calls ask at once and then every everyMs after an answer; never two at a time,
 * and not while the page is hidden. A change of key gives up what is under way,
 * forgets the data and begins anew.
 */
export function usePoll<T>(key: string, everyMs: number, ask: (signal: AbortSignal) => Promise<T>): Polled<T> {
  const [state, setState] = useState<Polled<T> & { key: string }>({ key, data: undefined, error: undefined, at: 0 });
  const latest = useRef(ask);
  latest.current = ask;

  useEffect(() => {
    const abort = new AbortController();
    let timer = 0;
    let busy = false;
    const run = async () => {
      clearTimeout(timer);
      if (busy || document.hidden) return;
      busy = true;
      try {
        const data = await latest.current(abort.signal);
        if (!abort.signal.aborted) setState({ key, data, error: undefined, at: Date.now() });
      } catch (err) {
        const error = reason(err);
        if (!abort.signal.aborted) {
          setState((old) => ({ ...(old.key === key ? old : { key, data: undefined, at: 0 }), key, error }));
        }
      }
      busy = false;
      if (!abort.signal.aborted) timer = window.setTimeout(run, everyMs);
    };
    const seen = () => void run();
    document.addEventListener("visibilitychange", seen);
    void run();
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [key, everyMs]);

  return state.key === key ? state : { data: undefined, error: undefined, at: 0 };
}
