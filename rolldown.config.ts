/** The build: the program and all it needs in `dist/`, in pieces that are loaded when they are wanted. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type Plugin } from "rolldown";
import licenses from "spdx-license-list/full.js";

export default defineConfig({
  input: { cli: "src/cli.ts" },
  platform: "node",
  // ES modules where a package has both: of them only what is used is taken.
  resolve: { mainFields: ["module", "main"] },
  transform: { target: "node20.18" },
  // What is read by `new URL(..., import.meta.url)` comes along.
  experimental: { resolveNewUrlToAsset: true },
  plugins: [thirdPartyLicenses()],
  // Such as an import that is not found.
  onLog(level, log) {
    if (level === "warn") throw new Error(log.message);
  },
  output: {
    dir: "dist",
    cleanDir: true,
    chunkFileNames: "[name]-[hash].js",
    // SDKs tell their own classes apart by `constructor.name`.
    keepNames: true,
    comments: { jsdoc: false },
  },
});

/** Names every package in the bundle, below it its licence; packages of one text stand together. */
function thirdPartyLicenses(): Plugin {
  return {
    name: "third-party-licenses",
    generateBundle(_options, bundle) {
      const modules = Object.values(bundle).flatMap((file) =>
        file.type === "chunk" ? file.moduleIds : [],
      );
      const folders = new Set(modules.flatMap((id) => PACKAGE_FOLDER.exec(id)?.[0] ?? []));
      const packagesOf = new Map<string, string[]>();
      for (const folder of folders) {
        const { title, text } = licenseOf(folder);
        packagesOf.set(text, [...(packagesOf.get(text) ?? []), title]);
      }
      const sections = [...packagesOf].map(
        ([text, titles]) => `${titles.sort().join("\n")}\n\n${text}\n`,
      );
      const source = sections.sort().join(`\n${"-".repeat(80)}\n\n`);
      this.emitFile({ type: "asset", fileName: "THIRD-PARTY-LICENSES", source });
    },
  };
}

/** Of a module's path, nested packages included. */
const PACKAGE_FOLDER = /\/.*\/node_modules\/(?:@[^/]+\/)?[^/]+/;

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly author?: string | { readonly name: string };
}

/** Throws where nobody knows the text: such a package cannot be shipped. */
function licenseOf(folder: string): { readonly title: string; readonly text: string } {
  const manifest: unknown = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const { name, version, license, author } = manifest as Manifest;
  const files = readdirSync(folder).filter((file) =>
    /^((un)?licen[cs]e|copying|notice)/i.test(file),
  );
  const texts = files.sort().map((file) => readFileSync(join(folder, file), "utf8").trim());
  const holder = typeof author === "object" ? author.name : author;
  const standard = licenses[license]?.licenseText.replace(
    "<year> <copyright holders>",
    holder ?? `the authors of ${name}`,
  );
  const text = texts.join("\n\n") || standard;
  if (text === undefined) throw new Error(`${name}: no text for its licence, ${license}`);
  return { title: `${name} ${version} (${license})`, text };
}
