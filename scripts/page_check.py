"""The status page in a real browser (headless Chromium): what is on it, its buttons, a phone, the dark, without scripts.

Usage: page_check.py URL TOKEN SOURCE_URL FOLDER. Writes screenshots into FOLDER; ends with 1 at the first thing that isn't so.
"""
import subprocess
import sys

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

url, token, source, folder = sys.argv[1:]
HOSTILE = "<img src=x onerror=alert(1)>"


def psql(sql):
    subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", source, "-c", sql], check=True)


def watch(page):
    """Nothing may be complained of: no error, no violation of the policy, no dialog that isn't ours."""
    told = []
    page.on("console", lambda message: told.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("dialog", lambda dialog: (told.append(dialog.message) if dialog.type == "alert" else None, dialog.accept()))
    page.on("request", lambda request: told.append("asks " + request.url) if not request.url.startswith(url) else None)
    return told


def row(page, table):
    return page.locator("tbody tr").filter(has=page.locator("th", has_text=table))


def accessible(page):
    found = Axe().run(page).response["violations"]
    assert not found, [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found]


def wide(page):
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def desktop(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    told = watch(page)
    page.goto(url)
    expect(page).to_have_title("shop – Millrace")
    expect(page.locator("header")).to_contain_text("Analysts read shop_live")
    expect(row(page, "public.a")).to_contain_text("streaming")
    expect(row(page, HOSTILE)).to_contain_text("streaming")
    assert page.locator("svg[role=img]").count() == 2
    expect(page.locator("section").filter(has_text="Attention").first).to_contain_text("1 record put aside")

    # It renews itself.
    page.evaluate("window.stays = 1")
    psql("INSERT INTO a SELECT i, i FROM generate_series(2001, 2345) i")
    expect(row(page, "public.a").locator("[data-label=applied]")).to_have_text("1,345", timeout=60_000)
    assert page.evaluate("window.stays") == 1, "without being loaded anew"

    # The buttons want the token, and the right one.
    said = page.locator("#said")
    page.get_by_role("button", name="Pause public.a", exact=True).click()
    expect(said).to_have_text("The buttons want the agent's token.")
    for text, answer in (("x" * 40, "Error: the API wants the agent's token"), (token, "The token is right.")):
        page.get_by_label("The agent's token").fill(text)
        page.keyboard.press("Enter")
        expect(said).to_contain_text(answer)
    told[:] = [text for text in told if "401" not in text]

    # By keys alone.
    page.get_by_role("button", name="Pause public.a", exact=True).focus()
    page.keyboard.press("Enter")
    expect(row(page, "public.a")).to_contain_text("paused")
    page.screenshot(path=folder + "/paused.png", full_page=True)
    psql("UPDATE a SET n = 0 WHERE id <= 5")
    expect(row(page, "public.a").locator("[data-label=deferred]")).to_have_text("5", timeout=60_000)
    resume = page.get_by_role("button", name="Resume public.a", exact=True)
    resume.focus()
    page.wait_for_timeout(2500)
    expect(resume).to_be_focused()
    page.keyboard.press("Enter")
    expect(said).to_contain_text("5 deferred events were taken up")
    expect(row(page, "public.a")).to_contain_text("streaming")

    page.get_by_role("button", name="Sweep public.a", exact=True).click()
    expect(said).to_contain_text("public.a: equal, 1345 rows", timeout=60_000)
    expect(row(page, "public.a").locator("[data-label='last proof']")).to_contain_text("equals source")
    page.get_by_role("button", name="Resync public.a", exact=True).click()
    expect(said).to_contain_text("is being copied anew")
    expect(row(page, "public.a")).to_contain_text("streaming", timeout=60_000)
    page.get_by_role("button", name="Sweep " + "public." + HOSTILE, exact=True).click()
    expect(said).to_contain_text(HOSTILE + ": equal", timeout=60_000)
    page.get_by_role("button", name="Show what waits in quarantine").click()
    expect(said).to_contain_text("1 record waits in quarantine")
    expect(said).to_contain_text("public.b:")
    assert "5000" not in page.locator("body").inner_text(), "no cell value"
    accessible(page)
    page.screenshot(path=folder + "/desktop.png", full_page=True)
    assert wide(page) <= 0
    assert not told, told


def phone(browser):
    context = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    page = context.new_page()
    told = watch(page)
    page.goto(url)
    expect(row(page, "public.a")).to_be_visible()
    assert wide(page) <= 0, "it needs no scrolling to the side"
    accessible(page)
    page.screenshot(path=folder + "/phone.png", full_page=True)
    assert not told, told


def dark(browser):
    page = browser.new_context(color_scheme="dark", viewport={"width": 1280, "height": 900}).new_page()
    told = watch(page)
    page.goto(url)
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert back == "rgb(20, 24, 30)", back
    accessible(page)
    page.screenshot(path=folder + "/dark.png", full_page=True)
    assert not told, told


def plain(browser):
    page = browser.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900}).new_page()
    page.goto(url)
    expect(row(page, "public.a")).to_contain_text("streaming")
    assert page.locator("button:visible").count() == 0
    assert page.locator("meta[http-equiv=refresh]").count() == 1
    page.screenshot(path=folder + "/plain.png", full_page=True)


with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    for look in (desktop, phone, dark, plain):
        look(browser)
        print(look.__name__, "is as it should be", flush=True)
    browser.close()
