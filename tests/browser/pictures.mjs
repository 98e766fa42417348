/* SPDX-License-Identifier: Apache-2.0 */
/* tests/browser/pictures.mjs - the README's pictures, of the pages that the demo made.
 * Knows: playwright-core, chromium, what a reader would look at. Does not know: how pages are made.
 * Called by `make pictures` as: pictures.mjs DEMO-FOLDER OUTPUT-FOLDER */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { chromium } from 'playwright-core';

const [demo, out] = process.argv.slice(2).map((path) => resolve(path));
const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });

async function picture(name, file, colorScheme, act) {
	const context = await browser.newContext({ viewport: { width: 1400, height: 900 }, colorScheme, timezoneId: 'UTC' });
	const page = await context.newPage();
	await page.goto(`file://${join(demo, file)}`);
	await page.waitForFunction(() => document.documentElement.dataset.ready || !document.querySelector('script'));
	await act(page);
	await page.screenshot({ path: join(out, `${name}.png`) });
	await context.close();
}

/* The second half of the time: what came in it and stayed. */
await picture('flamegraph', 'demo.html', 'light', async (page) => {
	await page.click('#timeline');
	await page.evaluate(() => report.setRange(report.model.endNs / 2, report.model.endNs));
	await page.click('[data-view=leaks]');
	await page.click('[data-show=native]');
	const at = await page.evaluate(() => {
		const { layout, tree, model } = report, box = document.getElementById('canvas').getBoundingClientRect();
		const i = layout.node.findIndex((node) => node > 0 && model.functionName(tree.frame[node]) === 'render_search_page');
		return { x: box.left + layout.x[i] + 200, y: box.top + layout.rowOf(i) * ROW + ROW / 2 };
	});
	await page.mouse.move(at.x, at.y);
});
await picture('flamegraph-dark', 'demo.html', 'dark', async (page) => {
	await page.click('[data-show=native]');
	await page.fill('#search', 'render_search_page');
	await page.waitForFunction(() => document.getElementById('found').textContent.includes('matched'));
});
await picture('leaks', 'demo-leaks.html', 'light', async () => {});
await browser.close();
