// Names of everything that can be operated, one h1, one main, unique ids, alternative texts, no sideways scrolling.
() => {
  const faults = [];
  const name = (e) => (e.getAttribute('aria-label') || e.textContent || '').trim() || e.labels?.length || e.title;
  for (const e of document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary, textarea'))
    if (!name(e)) faults.push('no name: ' + e.outerHTML.slice(0, 80));
  for (const e of document.querySelectorAll('img:not([alt])')) faults.push('no alt: ' + e.src);
  for (const tag of ['h1', 'main'])
    if (document.querySelectorAll(tag).length !== 1) faults.push('not one ' + tag);
  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) faults.push('id twice: ' + id);
  if (document.documentElement.scrollWidth > innerWidth) faults.push('wider than the window');
  return faults;
}
