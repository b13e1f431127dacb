/** Most model labels of one project: a caller may ask for any name, and each label is kept for good. */
export const MODEL_LABELS_MAX = 50;

/** The label of every model that has not earned its own. */
export const OTHER_MODEL = 'other';

/**
 * Which models are labels of their own. A model earns it when the upstream has answered it other
 * than 404, so that misspelt and invented names cannot fill a metrics database.
 */
export class ModelLabels {
  readonly #known = new Map<string, Set<string>>();

  /** Takes a model that the upstream knows; does nothing once the project has its most. */
  learn(project: string, model: string): void {
    if (model === '') return;
    let models = this.#known.get(project);
    if (models === undefined) this.#known.set(project, (models = new Set()));
    if (models.size < MODEL_LABELS_MAX) models.add(model);
  }

  has(project: string, model: string): boolean {
    return this.#known.get(project)?.has(model) === true;
  }

  /** The model's own name, `other`, or `none` for a call that names no model. */
  of(project: string, model: string): string {
    if (model === '') return 'none';
    return this.has(project, model) ? model : OTHER_MODEL;
  }
}
