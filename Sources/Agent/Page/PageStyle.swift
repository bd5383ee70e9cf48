enum PageStyle {
    static let text = """
        :root{--back:#fff;--text:#1d2430;--soft:#5b6573;--line:#d5dae1;--card:#f5f7f9;--mark:#1457c4;--good:#d3efd9;\
        --warn:#fbe3b8;--bad:#f6c9c6;--on:#16202c}
        @media(prefers-color-scheme:dark){:root{--back:#14181e;--text:#e6eaf0;--soft:#9aa5b4;--line:#343c48;--card:#1d232b;\
        --mark:#7fb2ff;--good:#1f4d2c;--warn:#5f4410;--bad:#6b2420;--on:#f2f5f8}}
        *{box-sizing:border-box}
        [hidden]{display:none!important}
        body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;padding:1rem;max-width:90rem;color:var(--text);\
        background:var(--back)}
        h1{font-size:1.6rem;margin:.2rem 0}h2{font-size:1.15rem;margin:1.6rem 0 .4rem}
        p{margin:.4rem 0}.lead{font-size:1.05rem}small,.try,caption,.axis,footer{color:var(--soft)}
        a{color:var(--mark)}code{font-family:ui-monospace,monospace;font-size:.92em;overflow-wrap:anywhere}
        .skip{position:absolute;left:-99rem}.skip:focus{position:static}
        :focus-visible{outline:3px solid var(--mark);outline-offset:2px}
        .state{display:inline-block;padding:0 .5rem;border-radius:.6rem;font-size:.9rem;background:var(--card);\
        color:var(--on);font-weight:600}
        .ok,.streaming,.FRESH{background:var(--good)}.degraded,.standby,.paused,.copying,.resyncing{background:var(--warn)}
        .stopped,.held,.error,.gone,.STALE{background:var(--bad)}
        .flow{display:flex;flex-wrap:wrap;list-style:none;margin:0;padding:0;align-items:stretch}
        .stage{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .9rem;flex:1 1 11rem}
        .stage>*{display:block;overflow-wrap:anywhere}
        .edge{flex:0 1 9rem;display:flex;flex-direction:column;justify-content:center;text-align:center;padding:.3rem}
        .edge::after{content:"";display:block;height:2px;background:var(--mark);margin-top:.2rem}
        .alerts{list-style:none;padding:0;margin:0}.alerts li{background:var(--card);border-left:4px solid #c8483f;\
        padding:.4rem .7rem;margin:.3rem 0;overflow-wrap:anywhere}
        .scroll{overflow-x:auto}table{border-collapse:collapse;min-width:100%}caption{text-align:left;padding:.2rem 0}
        th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
        tbody th,thead th:first-child{position:sticky;left:0;background:var(--back)}tbody th{font-weight:600}\
        tbody th small{font-weight:400}td[data-label="last proof"],td[data-label=freshness]{min-width:8rem}\
        td.act{min-width:15rem}.n{text-align:right;font-variant-numeric:tabular-nums}
        button{font:inherit;padding:.25rem .7rem;border:1px solid var(--line);border-radius:.4rem;background:var(--card);\
        color:var(--text);cursor:pointer;min-height:2rem}button:hover{border-color:var(--mark)}
        input{font:inherit;padding:.25rem .5rem;border:1px solid var(--line);border-radius:.4rem;background:var(--back);\
        color:var(--text);max-width:100%}label{display:block}
        .charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(18rem,100%),1fr));gap:1.2rem}
        figure{margin:0}svg{width:100%;height:7rem;display:block;background:var(--card)}
        .line{fill:none;stroke:var(--mark);stroke-width:2;vector-effect:non-scaling-stroke}
        .grid{fill:none;stroke:var(--line);vector-effect:non-scaling-stroke}
        .axis{display:flex;justify-content:space-between;font-size:.85rem;margin:0}
        #said{position:sticky;bottom:0;background:var(--card);padding:.4rem .7rem;white-space:pre-wrap;\
        overflow-wrap:anywhere}#said:empty{display:none}
        footer{margin-top:2rem}
        @media(max-width:44rem){.flow{flex-direction:column}.stage,.edge{flex:0 0 auto}thead{position:absolute;\
        left:-99rem}table,tbody,caption{display:block}tr{display:block;border:1px solid var(--line);border-radius:.5rem;\
        margin:.6rem 0;padding:.3rem}tbody th{display:block;position:static;border:0;\
        padding:.15rem .4rem}td{display:flex;justify-content:space-between;gap:1rem;border:0;text-align:right;\
        padding:.15rem .4rem}td::before{content:attr(data-label);color:var(--soft);text-align:left}\
        td.act{flex-wrap:wrap;justify-content:flex-start}.scroll{overflow-x:visible}}
        """
}
