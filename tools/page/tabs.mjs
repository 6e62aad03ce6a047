// SPDX-License-Identifier: Apache-2.0
// The tabs: by mouse, by arrow keys, Home and End, and by the address (#benchmark).

export function startTabs(list) {
  const tabs = [...list.querySelectorAll('[role=tab]')];
  const panel = (tab) => document.getElementById(tab.getAttribute('aria-controls'));

  const choose = (tab, { focus = false } = {}) => {
    for (const one of tabs) {
      const chosen = one === tab;
      one.setAttribute('aria-selected', String(chosen));
      one.tabIndex = chosen ? 0 : -1;
      panel(one).hidden = !chosen;
    }
    history.replaceState(null, '', `#${panel(tab).id}`);
    if (focus) tab.focus();
  };

  const byAddress = () => choose(tabs.find((tab) => `#${panel(tab).id}` === location.hash) ?? tabs[0]);

  list.addEventListener('click', ({ target }) => tabs.includes(target) && choose(target));
  list.addEventListener('keydown', (event) => {
    const at = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    choose(tabs.at(to % tabs.length), { focus: true });
  });
  window.addEventListener('hashchange', byAddress);
  byAddress();
}
