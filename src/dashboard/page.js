import { follow } from './feed.js';
import { Page } from './frame.js';
import { html, render } from './view.js';

const root = document.querySelector('#page');
if (root !== null) {
  root.replaceChildren();
  render(html`<${Page} />`, root);
  void follow();
}
