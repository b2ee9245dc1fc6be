// Compiles the contracts with npm's solc and writes what Python uses.
//
//   artifacts/<Contract>.json     ABI, bytecodes, storage layout, compiler, settings and source hash; part of the package
//   ../tests/contracts/compiled.json   creation code of the odd tokens and of the planted bugs, for the tests
//
// `node build.mjs <folder>` writes below another folder instead, to compare. Needs `npm ci`; reads no network.

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? dirname(here);

const PUBLISHED = ["Payment", "Registry", "TestToken"];
const SETTINGS = {
  optimizer: { enabled: true, runs: 1000 }, // called often, deployed once
  evmVersion: "cancun", // transient storage (EIP-1153) for the guard
  viaIR: true,
  metadata: { bytecodeHash: "none", appendCBOR: false }, // the code follows from the sources alone
  outputSelection: { "*": { "*": ["abi", "storageLayout", "evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"] } },
};

const read = (path) => readFileSync(join(here, path), "utf8");
const listed = (folder) =>
  readdirSync(join(here, folder), { recursive: true })
    .filter((name) => name.endsWith(".sol"))
    .map((name) => `${folder}/${name.replaceAll("\\", "/")}`)
    .sort();
// SHA-256 over the source files' paths and contents, each ended by a zero byte; contracts/__init__.py does the same.
const hashed = (paths) => {
  const hash = createHash("sha256");
  for (const path of paths) hash.update(`${path}\0${read(path)}\0`);
  return hash.digest("hex");
};

function compile(sources) {
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(Object.entries(sources).map(([path, content]) => [path, { content }])),
    settings: SETTINGS,
  };
  const load = (path) => {
    try {
      return { contents: path.startsWith("@") ? read(`node_modules/${path}`) : read(path) };
    } catch {
      return { error: `no file ${path}` };
    }
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: load }));
  // A warning is an error, unless it is about OpenZeppelin's files.
  const ours = (error) => error.severity === "error" || !error.sourceLocation?.file.startsWith("@");
  const complaints = (output.errors ?? []).filter(ours).map((error) => error.formattedMessage);
  if (complaints.length) throw new Error(complaints.join("\n"));
  return output.contracts;
}

function write(path, value) {
  mkdirSync(dirname(join(out, path)), { recursive: true });
  writeFileSync(join(out, path), JSON.stringify(value, null, 1) + "\n");
}

// Where state variables and the members of structs lie, by name: [slot, first byte in it, bytes].
function laidOut({ storage, types }) {
  const places = (variables) =>
    Object.fromEntries(variables.map(({ label, slot, offset, type }) => [label, [Number(slot), offset, Number(types[type].numberOfBytes)]]));
  const structs = Object.values(types ?? {}).filter(({ members }) => members);
  return {
    variables: places(storage),
    structs: Object.fromEntries(structs.map(({ label, members }) => [label.replace(/^struct /, ""), places(members)])),
  };
}

const files = listed("src");
const sourceHash = hashed(files);
const { outputSelection, ...settings } = SETTINGS;
const packages = JSON.parse(read("package-lock.json")).packages;
const compiler = {
  solc: solc.version().replace(/\.Emscripten.*$/, ""),
  openzeppelin: packages["node_modules/@openzeppelin/contracts"].version,
  settings,
};

const contracts = compile(Object.fromEntries(files.map((path) => [path, read(path)])));
for (const name of PUBLISHED) {
  const { abi, evm, storageLayout } = contracts[`src/${name}.sol`][name];
  write(`contracts/artifacts/${name}.json`, {
    contract: name,
    sourceHash,
    compiler,
    abi,
    bytecode: evm.bytecode.object,
    runtimeBytecode: evm.deployedBytecode.object,
    immutableReferences: evm.deployedBytecode.immutableReferences,
    storage: laidOut(storageLayout),
  });
}

// The odd tokens, and Payment and Registry with one change of text each (see tests/contracts/mutants.json).
const mutants = JSON.parse(readFileSync(join(dirname(here), "tests/contracts/mutants.json"), "utf8"));
const odd = compile({ "test/OddTokens.sol": read("test/OddTokens.sol") })["test/OddTokens.sol"];
const compiled = {
  sourceHash: hashed([...files, "test/OddTokens.sol"]),
  tokens: Object.fromEntries(
    Object.entries(odd).filter(([, { evm }]) => evm.bytecode.object).map(([name, { abi, evm }]) => [name, { abi, bytecode: evm.bytecode.object }]),
  ),
  mutants: {},
};
// All in one go, each under a file name of its own, beside the original so that its imports are found.
const changed = {};
mutants.forEach(({ name, contract, good, bad }, index) => {
  const text = read(`src/${contract}.sol`);
  const found = text.split(good).length - 1;
  if (found !== 1) throw new Error(`${name}: ${JSON.stringify(good)} occurs ${found} times in ${contract}.sol`);
  changed[`src/Mutant${index}.sol`] = text.replace(good, () => bad);
});
const bugged = mutants.length ? compile(changed) : {};
mutants.forEach(({ name, contract }, index) => {
  compiled.mutants[name] = bugged[`src/Mutant${index}.sol`][contract].evm.bytecode.object;
});
write("tests/contracts/compiled.json", compiled);
