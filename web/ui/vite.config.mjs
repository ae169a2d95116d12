import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { defineConfig } from "vite";

const outDir = new URL("../dist", import.meta.url).pathname;

/** Writes name.gz beside every script and style sheet: the server sends them as they are. */
const compress = {
  name: "compress",
  apply: "build",
  closeBundle() {
    const dir = join(outDir, "assets");
    for (const name of readdirSync(dir)) {
      if (/\.(js|css)$/.test(name)) {
        writeFileSync(join(dir, name + ".gz"), gzipSync(readFileSync(join(dir, name)), { level: 9 }));
      }
    }
  },
};

export default defineConfig({
  // Relative to <base>, which the server sets to its path prefix.
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir,
    emptyOutDir: true, // public/.gitkeep comes back with the copy of public/
    target: "es2022",
    cssTarget: ["chrome123", "firefox120", "safari17.5"], // the first with light-dark()
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
  plugins: [compress],
  server: { proxy: { "/api": process.env.NILOMETER_URL ?? "http://127.0.0.1:9090" } },
  test: { include: ["test/**/*.test.ts"] },
});
