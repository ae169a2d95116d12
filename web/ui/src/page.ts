// What the server has written into index.html.

function meta(name: string): string {
  return document.querySelector(`meta[name="${name}"]`)?.getAttribute("content") ?? "";
}

/** The path under which the server is seen: "" or "/path". */
export const prefix = meta("prefix");

/** The nonce of style sheets made at run time; empty where there is no policy. */
export const styleNonce = meta("style-nonce");
