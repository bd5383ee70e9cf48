/// Renews what the page shows each two seconds, and has its buttons ask the API.
enum PageScript {
    static let text = #"""
        "use strict";
        const said = document.getElementById("said");
        let token = "", busy = false, isAway = false;
        const say = (text) => { said.textContent = text; };
        const unhide = () => { for (const e of document.querySelectorAll(".act")) e.hidden = false; };
        async function api(path, body) {
          const request = { headers: { Authorization: "Bearer " + token, "Content-Type": "application/json" } };
          if (body) { request.method = "POST"; request.body = JSON.stringify(body); }
          const response = await fetch("/api/" + path, request);
          const answer = await response.json();
          if (!response.ok) throw new Error(answer.error + (answer.try ? ". Try: " + answer.try : ""));
          return answer;
        }
        const acts = {
          pause: async (t) => { await api("pause", t); return "paused"; },
          resync: async (t) => { await api("resync", t); return "is being copied anew"; },
          release: async (t, kind) => {
            let events = 0, held = "";
            for (let done = false; !done;) {
              const step = await api("release", { ...t, kind });
              for (const table of step.tables) { events += table.events; held = table.held || held; }
              done = step.done;
            }
            if (held) throw new Error("held again: " + held);
            return "goes on, " + events + " deferred events were taken up";
          },
          sweep: async (t) => {
            const { sweep } = await api("sweep", t);
            for (;;) {
              const state = await api("sweep/" + sweep);
              if (state.state === "failed") throw new Error(state.error + (state.try ? ". Try: " + state.try : ""));
              if (state.state === "done") {
                return state.report.tables.map((table) => table.source + ": " + (table.equal ? "equal, " + table.rows
                  + " rows" : table.equal === false ? (table.missing + table.extra + table.different)
                  + " rows differ" : "not compared: " + table.reason)).join("\n");
              }
              say("sweep: " + state.progress);
              await new Promise((resolve) => setTimeout(resolve, 300));
            }
          },
          quarantine: async () => {
            const all = (await api("quarantine")).filter((record) => record.state === "waiting");
            return all.length + (all.length === 1 ? " record waits" : " records wait") + " in quarantine\n" + all.slice(0, 50).map((record) =>
              "#" + record.id + " " + (record.table || "no known table") + ": " + record.reason).join("\n");
          },
        };
        const asks = { resync: "is copied anew from its source", release: "gets what was deferred" };
        document.addEventListener("click", async (event) => {
          const button = event.target.closest("button[data-act]");
          if (!button || busy) return;
          const { act, table, kind } = button.dataset;
          if (!token) {
            say("The buttons want the agent's token.");
            document.getElementById("token").focus();
            return;
          }
          if (asks[act] && !confirm(table + " " + asks[act] + ".")) return;
          busy = true;
          say(act + " " + (table || "") + " …");
          try {
            say((table ? table + ": " : "") + await acts[act](table ? { tables: [table] } : { all: true }, kind));
          } catch (error) {
            say("Error: " + error.message);
          }
          busy = false;
          await renew();
        });
        document.getElementById("key").addEventListener("submit", async (event) => {
          event.preventDefault();
          const input = document.getElementById("token");
          token = input.value.trim();
          input.value = "";
          try {
            await api("holds");
            say("The token is right.");
          } catch (error) {
            token = "";
            say("Error: " + error.message);
          }
        });
        let renewing = false;
        async function renew() {
          if (renewing) return;
          renewing = true;
          try {
            const response = await fetch("/", { cache: "no-store", signal: AbortSignal.timeout(5000) });
            if (!response.ok) throw new Error(response.statusText);
            const page = new DOMParser().parseFromString(await response.text(), "text/html");
            const live = document.getElementById("live"), next = page.getElementById("live");
            const name = (e) => e.getAttribute("aria-label") || e.id;
            const focused = live.contains(document.activeElement) ? name(document.activeElement) : "";
            const scroll = live.querySelector(".scroll").scrollLeft;
            live.replaceChildren(...next.childNodes);
            unhide();
            live.querySelector(".scroll").scrollLeft = scroll;
            const same = [...live.querySelectorAll("[aria-label],[id]")].find((e) => name(e) === focused);
            if (focused) same?.focus({ preventScroll: true });
            if (isAway) say("The agent answers again.");
            isAway = false;
          } catch {
            if (!isAway) say("The agent doesn't answer: what is shown may be old.");
            isAway = true;
          }
          renewing = false;
        }
        unhide();
        setInterval(() => { if (!document.hidden) renew(); }, 2000);
        """#
}
