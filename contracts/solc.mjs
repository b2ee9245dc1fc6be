#!/usr/bin/env node
// npm's solc as the command that analysers expect: `solc --version`, and `solc --standard-json` with paths from here.

import { readFileSync } from "node:fs";
import solc from "solc";

const read = (path) => {
  try {
    return { contents: readFileSync(path, "utf8") };
  } catch {
    return { error: `no file ${path}` };
  }
};

if (process.argv.includes("--version")) console.log(`solc, the solidity compiler\nVersion: ${solc.version()}`);
else process.stdout.write(solc.compile(readFileSync(0, "utf8"), { import: read }));
