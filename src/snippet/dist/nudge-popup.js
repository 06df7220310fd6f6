"use strict";(()=>{var T=`
--bg:var(--nudge-background,#1d2026);--fg:var(--nudge-color,#f1f3f6);
--soft:var(--nudge-muted,#b9c0ca);--line:var(--nudge-border,#3a404a);
--on:var(--nudge-accent-color,#0d1117);--go:var(--nudge-accent,#8ab4ff);color-scheme:dark`,k=`
:host{all:initial;display:block;
--bg:var(--nudge-background,#fff);--fg:var(--nudge-color,#1a1d23);
--soft:var(--nudge-muted,#4c5563);--line:var(--nudge-border,#d9dde3);
--on:var(--nudge-accent-color,#fff);--go:var(--nudge-accent,#1f57d6);color-scheme:light}
@media (prefers-color-scheme:dark){:host(:not([data-theme=light])){${T}}}
:host([data-theme=dark]){${T}}
*{box-sizing:border-box}
.box{position:fixed;z-index:var(--nudge-z,2147483000);margin:0;padding:var(--pad,20px);
max-height:calc(100dvh - 32px);overflow:auto;overscroll-behavior:contain;
background:var(--bg);color:var(--fg);border:1px solid var(--line);
border-radius:var(--nudge-radius,14px);box-shadow:0 12px 40px rgb(0 0 0/.22);
font:16px/1.5 var(--nudge-font,system-ui,sans-serif);text-align:start;overflow-wrap:anywhere}
.box:focus{outline:0}
.corner{inset-block-end:calc(16px + env(safe-area-inset-bottom,0px));inset-inline-end:16px;
inline-size:min(var(--nudge-width,360px),100vw - 32px);--pad:20px}
.corner.first{inset-inline:16px auto}
.modal{inset:0;margin:auto;block-size:fit-content;--pad:28px;
inline-size:min(var(--nudge-width,440px),100vw - 32px)}
.modal::backdrop{background:var(--nudge-backdrop,rgb(8 12 20/.55))}
.banner{inset-inline:0;inset-block-end:0;border-width:1px 0 0;border-radius:0;
padding-block:14px calc(14px + env(safe-area-inset-bottom,0px));padding-inline:max(20px,50vw - 540px) max(60px,50vw - 490px);
display:flex;flex-wrap:wrap;align-items:center;gap:10px 24px}
.banner.first{inset-block:0 auto;border-width:0 0 1px}
.banner .words{flex:1 1 280px}
.banner .buttons{margin:0}
.title{margin:0;padding-inline-end:28px;font-size:1.125em;line-height:1.3;font-weight:650}
.modal .title{font-size:1.375em}
.text{margin:6px 0 0;color:var(--soft);white-space:pre-line}
.image{display:block;inline-size:calc(100% + 2*var(--pad));max-inline-size:none;
max-block-size:40vh;object-fit:cover;margin:calc(-1*var(--pad));margin-block-end:var(--pad)}
.banner .image{max-block-size:56px;inline-size:auto;margin:0;border-radius:8px}
.corner .image+.words .title,.modal .image+.words .title{padding:0}
.buttons{display:flex;flex-wrap:wrap;gap:8px;margin-block-start:16px}
.buttons:empty{display:none}
.button,.close{appearance:none;font:inherit;cursor:pointer;border:1px solid var(--line);
background:0 0;color:var(--fg);text-decoration:none;border-radius:8px}
.button{padding:9px 16px;font-weight:600;line-height:1.25}
.main{background:var(--go);border-color:var(--go);color:var(--on)}
.button:hover{filter:brightness(.94)}
.close{position:absolute;inset-block-start:10px;inset-inline-end:10px;inline-size:32px;
block-size:32px;padding:0;border-color:transparent;background:var(--bg);color:var(--soft);
font-size:22px;line-height:1;border-radius:16px}
.banner .close{inset-inline-end:max(14px,50vw - 540px)}
.close:hover{color:var(--fg);border-color:var(--line)}
.button:focus-visible,.close:focus-visible{outline:3px solid var(--go);outline-offset:2px}
.unseen{position:absolute;inline-size:1px;block-size:1px;overflow:hidden;clip-path:inset(50%)}
@media (prefers-reduced-motion:no-preference){
.box{animation:in .22s ease-out}
@keyframes in{from{opacity:0;transform:translateY(12px)}}}
@media print{:host{display:none}}
@media (forced-colors:active){.button,.close{border-color:ButtonText}}
`;var R=["modal","banner","corner"],D=0;function H(t,n){let e=(...i)=>i.map(g=>t[g]).find(g=>typeof g=="string")?.trim()||"",o=e("title"),a=e("text","body"),l=C(e("image"),["http:","https:"]);if(!o&&!a&&!l)return null;let p=R.includes(e("style"))?e("style"):"corner",f=p==="modal",s=d("nudge-popup");s.dir=e("dir")||getComputedStyle(document.documentElement).direction,s.lang=e("lang")||document.documentElement.lang,s.dataset.theme=e("theme");let m=s.attachShadow({mode:"open"});B(m,n.nonce);let y=document.activeElement,h=!1,E=()=>{if(h)return;h=!0;let i=s.contains(document.activeElement);s.remove(),i&&y instanceof HTMLElement&&y.focus()},S=(i,c)=>{if(h)return!0;let g=n.done(i,c);return setTimeout(E),g},r=d(f?"dialog":"section","box "+p);(e("position")==="top"||e("position")==="start")&&r.classList.add("first");let v=d("div","words"),b=`nudge-${++D}`;if(o&&v.append(d("h2","title",o,b)),a&&v.append(d("p","text",a,b+"-text")),r.setAttribute(o?"aria-labelledby":"aria-label",o?b:a||e("image_alt")),o&&a&&r.setAttribute("aria-describedby",b+"-text"),l){let i=d("img","image");i.alt=e("image_alt"),i.onerror=()=>i.remove(),i.src=l,r.append(i)}let w=d("div","buttons"),u=C(e("url","link"),["http:","https:","mailto:"]),L=e("button")||u&&(new URL(u).hostname||new URL(u).pathname);if(L){let i=d(u?"a":"button","button main",L);if(u){let c=i;c.href=u,t.new_tab===!0&&([c.target,c.rel]=["_blank","noopener"])}i.onclick=c=>{S("clicked",u)||c.preventDefault()},w.append(i)}let x=()=>{S("dismissed")};e("dismiss")&&w.append(M(d("button","button",e("dismiss")),x));let z=M(d("button","close","×"),x);return z.setAttribute("aria-label",e("close")||n.closeLabel||"Close"),r.append(v,w,z),m.append(r),f?U(r,x):r.onkeydown=i=>{i.key==="Escape"&&x()},p==="banner"&&r.classList.contains("first")?document.body.prepend(s):document.body.append(s),f?(r.showModal?r.showModal():r.setAttribute("open",""),r.focus()):_(m,[o,a].filter(Boolean).join(". ")),E}function d(t,n="",e="",o=""){let a=document.createElement(t);return n&&(a.className=n),e&&(a.textContent=e),o&&(a.id=o),t==="button"&&(a.type="button"),a}function M(t,n){return t.onclick=n,t}function C(t,n){try{let e=t&&new URL(t,document.baseURI);return e&&n.includes(e.protocol)?e.href:""}catch{return""}}function B(t,n){try{let e=new CSSStyleSheet;e.replaceSync(k),t.adoptedStyleSheets=[e]}catch{let e=document.createElement("style");n&&(e.nonce=n),e.textContent=k,t.append(e)}}function U(t,n){t.tabIndex=-1,t.setAttribute("aria-modal","true"),t.addEventListener("cancel",e=>{e.preventDefault(),n()}),t.addEventListener("close",n),t.onclick=e=>{let{left:o,right:a,top:l,bottom:p}=t.getBoundingClientRect(),{clientX:f,clientY:s}=e,m=f<o||f>a||s<l||s>p;e.target===t&&m&&n()},t.onkeydown=e=>{if(e.key==="Escape"&&n(),e.key!=="Tab")return;let o=Array.from(t.querySelectorAll("a,button")),a=t.getRootNode().activeElement,l=o.indexOf(a),p=l<0&&e.shiftKey?-1:l+(e.shiftKey?-1:1);o[(p+o.length)%o.length].focus(),e.preventDefault()}}function _(t,n){let e=d("div","unseen");e.setAttribute("role","status"),t.append(e),setTimeout(()=>e.textContent=n,100)}var{nudge:A}=window;A&&(A.show=H);})();
