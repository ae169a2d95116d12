import { useEffect, useState } from "preact/hooks";
import { reason, type Answer } from "../../api/client";

export interface Asked<T> {
  answer: Answer<T> | undefined; // stays until the next one has come
  error: string | undefined;
  busy: boolean;
  tookMs: number;
}

/** Asks once for each key; a new key gives up what is under way. */
export function useAnswer<T>(key: string, ask: (signal: AbortSignal) => Promise<Answer<T>>): Asked<T> {
  const [state, setState] = useState<Asked<T>>({ answer: undefined, error: undefined, busy: true, tookMs: 0 });
  useEffect(() => {
    const abort = new AbortController();
    const begun = performance.now();
    setState((old) => ({ ...old, busy: true }));
    const end = (part: Pick<Asked<T>, "answer" | "error">) => {
      if (!abort.signal.aborted) setState({ ...part, busy: false, tookMs: performance.now() - begun });
    };
    ask(abort.signal).then(
      (answer) => end({ answer, error: undefined }),
      (err: unknown) => end({ answer: undefined, error: reason(err) }),
    );
    return () => abort.abort();
  }, [key]);
  return state;
}
