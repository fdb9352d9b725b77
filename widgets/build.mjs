// Bundles the page and the embed view for the server, and the widget where it has an entry.

import { existsSync, mkdirSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, transform } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const source = (name) => join(here, "src", name);

const common = {
  bundle: true,
  minify: true,
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  logLevel: "info",
};

// A style sheet that a script imports is its text, made small.
const styleText = {
  name: "style-text",
  setup({ onLoad }) {
    onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await transform(await readFile(path, "utf8"), {
        loader: "css",
        minify: true,
      });
      return { contents: code, loader: "text" };
    });
  },
};

const page = join(here, "..", "syncmon_ext", "page", "static");
rmSync(page, { recursive: true, force: true });
mkdirSync(page, { recursive: true });
// Classic scripts: JupyterHub wants an XSRF token with what a browser fetches in CORS mode, as modules are.
await build({
  ...common,
  format: "iife",
  entryPoints: ["page.tsx", "embed.tsx", "worker.ts", "page.css"].map(source),
  outdir: page,
});

await build({
  ...common,
  format: "iife",
  entryPoints: [source("inline.tsx")],
  outdir: page,
  plugins: [styleText],
});

if (existsSync(source("widget.tsx"))) {
  await build({
    ...common,
    format: "esm",
    entryPoints: [source("widget.tsx")],
    plugins: [styleText],
    outdir: join(here, "syncmon_widgets", "static"),
  });
}
