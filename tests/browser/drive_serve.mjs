/* SPDX-License-Identifier: Apache-2.0 */
/* tests/browser/drive_serve.mjs URL - a person at `memtrace serve`: the list, a flame graph, a difference.
 * Prints what was seen as JSON.
 * Knows: the page's parts. Does not know: the server. Started by tests/serve/test_serve.py. */
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const executable = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
if (!executable)
	process.exit(77);
const browser = await chromium.launch({ executablePath: executable, args: ['--no-sandbox', '--disable-gpu'] });
const page = await browser.newPage();
const problems = [], seen = { problems };
page.on('pageerror', (e) => problems.push(e.message));
page.on('console', (m) => m.type() === 'error' && problems.push(m.text()));
const ready = () => page.waitForFunction(() => document.documentElement.dataset.ready);

try {
	await page.goto(process.argv[2]);
	await ready();
	seen.url = page.url();		/* the token is gone from it */
	seen.captures = (await page.locator('#captures tr td:first-child').allTextContents()).sort();
	await page.click('tr:has-text("first") >> text=flame graph');
	await ready();
	seen.flamegraph = await page.title();
	await page.goBack();
	await ready();
	await page.check('[aria-label="before: first"]');
	await page.check('[aria-label="after: a b&<c>"]');
	await page.click('#compare');
	await ready();
	seen.diff = await page.title();
} finally {
	await browser.close();
}
console.log(JSON.stringify(seen));
process.exit(0);
