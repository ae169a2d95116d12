// Asks the API under the page's prefix. Errors carry the API's own words.

import { prefix } from "../page";

/** What an answer says beside its data. */
export interface Notes {
  warnings: string[];
  infos: string[];
}

export interface Answer<T> extends Notes {
  data: T;
}

/** A refusal or failure: kind is the API's errorType, "network" or "protocol"; "not_found" is also a 404 without an envelope. */
export class ApiError extends Error {
  readonly kind: string;
  constructor(kind: string, message: string) {
    super(message);
    this.kind = kind;
  }
}

type Params = Record<string, string | number | string[] | undefined>;

interface Envelope<T> {
  status: string;
  data: T;
  errorType?: string;
  error?: string;
  warnings?: string[];
  infos?: string[];
}

/** Reads /api/v1/<endpoint>. */
export function get<T>(endpoint: string, params: Params = {}, signal?: AbortSignal): Promise<Answer<T>> {
  const text = form(params).toString();
  return ask<T>(endpoint + (text ? `?${text}` : ""), { signal: signal ?? null });
}

/** Asks with the parameters in the body: an expression may be longer than an address. */
export function post<T>(endpoint: string, params: Params, signal?: AbortSignal): Promise<Answer<T>> {
  return ask<T>(endpoint, { method: "POST", body: form(params), signal: signal ?? null });
}

/** Deletes what /api/v1/<endpoint> names. */
export function remove(endpoint: string): Promise<Answer<unknown>> {
  return ask<unknown>(endpoint, { method: "DELETE" });
}

async function ask<T>(path: string, init: RequestInit): Promise<Answer<T>> {
  let response: Response;
  try {
    response = await fetch(`${prefix}/api/v1/${path}`, init);
  } catch (err) {
    if (err instanceof DOMException && err.name === "AbortError") throw err;
    throw new ApiError("network", "the server does not answer: is it running?");
  }
  let envelope: Envelope<T>;
  try {
    envelope = (await response.json()) as Envelope<T>;
  } catch (err) {
    if (err instanceof DOMException && err.name === "AbortError") throw err;
    throw new ApiError(response.status === 404 ? "not_found" : "protocol", `the server answered ${response.status} ${response.statusText} without JSON`);
  }
  if (envelope.status !== "success") {
    throw new ApiError(envelope.errorType ?? "unknown", envelope.error ?? `status ${response.status}`);
  }
  return { data: envelope.data, warnings: envelope.warnings ?? [], infos: envelope.infos ?? [] };
}

function form(params: Params): URLSearchParams {
  const out = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value === undefined) continue;
    for (const v of Array.isArray(value) ? value : [String(value)]) out.append(name, v);
  }
  return out;
}

/** The reason of a failure in words; undefined when the request was given up on purpose. */
export function reason(err: unknown): string | undefined {
  if (err instanceof DOMException && err.name === "AbortError") return undefined;
  if (err instanceof ApiError) return err.kind === "network" || err.kind === "protocol" ? err.message : `${err.kind}: ${err.message}`;
  return err instanceof Error ? err.message : String(err);
}
