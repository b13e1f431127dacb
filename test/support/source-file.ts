import ts from 'typescript';

/** One import or re-export statement. */
export interface Import {
  /** As written: './window.ts', 'node:fs', 'undici'. */
  readonly specifier: string;
  /** True where nothing of it is left at run time. */
  readonly typeOnly: boolean;
}

/** What the tidiness rules need to know about one TypeScript file. */
export interface SourceFile {
  /** From the project's root, with forward slashes. */
  readonly path: string;
  readonly lineCount: number;
  readonly imports: readonly Import[];
  /** Functions and their lengths, without the functions written inside them. */
  readonly functions: readonly { readonly name: string; readonly lineCount: number }[];
  /** Names it exports; `default` for a default export. */
  readonly exports: readonly string[];
  /** Identifiers, member accesses (`Date.now`) and constructions (`new Date()`), without comments. */
  readonly uses: ReadonlySet<string>;
  /** The text of its string and template literals. */
  readonly strings: readonly string[];
}

/** Reads one file's text. The parser forgives syntax errors: those are the compiler's to find. */
export function parseSource(path: string, text: string): SourceFile {
  const root = ts.createSourceFile(path, text, ts.ScriptTarget.Latest);
  const imports: Import[] = [];
  const exports: string[] = [];
  const uses = new Set<string>();
  const strings: string[] = [];

  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) {
      const module = node.moduleSpecifier;
      if (module !== undefined && ts.isStringLiteral(module)) {
        imports.push({ specifier: module.text, typeOnly: isTypeOnly(node) });
      }
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const module = node.arguments[0];
      if (module !== undefined && ts.isStringLiteralLike(module)) {
        imports.push({ specifier: module.text, typeOnly: false });
      }
    } else if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node)) {
      strings.push(node.text);
    } else if (ts.isTemplateMiddleOrTemplateTail(node)) {
      strings.push(node.text);
    } else if (ts.isIdentifier(node)) {
      uses.add(node.text);
    } else if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression)) {
      uses.add(`${node.expression.text}.${node.name.text}`);
    } else if (ts.isNewExpression(node) && ts.isIdentifier(node.expression)) {
      if ((node.arguments?.length ?? 0) === 0) uses.add(`new ${node.expression.text}()`);
    } else if (ts.isCallExpression(node) && ts.isIdentifier(node.expression)) {
      uses.add(`${node.expression.text}()`);
    }
    exports.push(...exportedNames(node));
    ts.forEachChild(node, visit);
  };
  ts.forEachChild(root, visit);

  const lineCount = text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
  const functions = functionLengths(root);
  return { path, lineCount, functions, imports, exports, uses, strings };
}

function functionLengths(root: ts.SourceFile): SourceFile['functions'] {
  const found: { name: string; lineCount: number }[] = [];
  /** Answers with the lines that functions inside `node` take of it. */
  const walk = (node: ts.Node): number => {
    let inside = 0;
    ts.forEachChild(node, (child) => {
      inside += walk(child);
    });
    if (!ts.isFunctionLike(node) || !('body' in node) || node.body === undefined) return inside;
    const from = root.getLineAndCharacterOfPosition(node.getStart(root)).line;
    const to = root.getLineAndCharacterOfPosition(node.getEnd()).line;
    const lineCount = to - from + 1;
    found.push({ name: node.name?.getText(root) ?? 'a function', lineCount: lineCount - inside });
    // The line it begins on belongs to what is around it.
    return lineCount - 1;
  };
  walk(root);
  return found;
}

function isTypeOnly(node: ts.ImportDeclaration | ts.ExportDeclaration): boolean {
  if (ts.isExportDeclaration(node)) return node.isTypeOnly;
  return node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
}

function exportedNames(node: ts.Node): string[] {
  if (ts.isExportAssignment(node)) return ['default'];
  if (ts.isExportSpecifier(node)) return [node.name.text];
  const modifiers = ts.canHaveModifiers(node) ? (ts.getModifiers(node) ?? []) : [];
  if (!modifiers.some((modifier) => modifier.kind === ts.SyntaxKind.ExportKeyword)) return [];
  if (modifiers.some((modifier) => modifier.kind === ts.SyntaxKind.DefaultKeyword)) {
    return ['default'];
  }
  if (ts.isVariableStatement(node)) {
    return node.declarationList.declarations.flatMap(({ name }) =>
      ts.isIdentifier(name) ? [name.text] : [],
    );
  }
  if (
    ts.isFunctionDeclaration(node) ||
    ts.isClassDeclaration(node) ||
    ts.isInterfaceDeclaration(node) ||
    ts.isTypeAliasDeclaration(node)
  ) {
    return node.name === undefined ? [] : [node.name.text];
  }
  return [];
}
