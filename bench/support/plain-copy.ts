import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';

/**
 * A copy of a TypeScript file, which must not import files of ours, as JavaScript in `directory`. So
 * it runs without a loader: that would keep the whole compiler in the heap of the process that is
 * measured, and each collection of garbage looks at all of it.
 */
export function plainCopy(file: string, directory: string): string {
  const { outputText } = ts.transpileModule(readFileSync(file, 'utf8'), {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 },
  });
  const copy = join(directory, basename(file).replace(/\.ts$/, '.mjs'));
  // Libraries are not found from there by their names.
  const found = outputText.replaceAll(/ from '([^'.:]+)';/g, (_, name: string) => {
    return ` from '${import.meta.resolve(name)}';`;
  });
  writeFileSync(copy, found);
  return pathToFileURL(copy).href;
}
