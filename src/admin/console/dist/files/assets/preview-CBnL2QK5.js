var e=`
--bg:var(--nudge-background,#1d2026);--fg:var(--nudge-color,#f1f3f6);
--soft:var(--nudge-muted,#b9c0ca);--line:var(--nudge-border,#3a404a);
--on:var(--nudge-accent-color,#0d1117);--go:var(--nudge-accent,#8ab4ff);color-scheme:dark`,t=`
:host{all:initial;display:block;
--bg:var(--nudge-background,#fff);--fg:var(--nudge-color,#1a1d23);
--soft:var(--nudge-muted,#4c5563);--line:var(--nudge-border,#d9dde3);
--on:var(--nudge-accent-color,#fff);--go:var(--nudge-accent,#1f57d6);color-scheme:light}
@media (prefers-color-scheme:dark){:host(:not([data-theme=light])){${e}}}
:host([data-theme=dark]){${e}}
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
`,n=[`modal`,`banner`,`corner`],r=0;function i(e,t){let i=(...t)=>t.map(t=>e[t]).find(e=>typeof e==`string`)?.trim()||``,d=i(`title`),f=i(`text`,`body`),p=s(i(`image`),[`http:`,`https:`]);if(!d&&!f&&!p)return null;let m=n.includes(i(`style`))?i(`style`):`corner`,h=m===`modal`,g=a(`nudge-popup`);g.dir=i(`dir`)||getComputedStyle(document.documentElement).direction,g.lang=i(`lang`)||document.documentElement.lang,g.dataset.theme=i(`theme`);let _=g.attachShadow({mode:`open`});c(_,t.nonce);let v=document.activeElement,y=!1,b=()=>{if(y)return;y=!0;let e=g.contains(document.activeElement);g.remove(),e&&v instanceof HTMLElement&&v.focus()},x=(e,n)=>{if(y)return!0;let r=t.done(e,n);return setTimeout(b),r},S=a(h?`dialog`:`section`,`box `+m);(i(`position`)===`top`||i(`position`)===`start`)&&S.classList.add(`first`);let C=a(`div`,`words`),w=`nudge-${++r}`;if(d&&C.append(a(`h2`,`title`,d,w)),f&&C.append(a(`p`,`text`,f,w+`-text`)),S.setAttribute(d?`aria-labelledby`:`aria-label`,d?w:f||i(`image_alt`)),d&&f&&S.setAttribute(`aria-describedby`,w+`-text`),p){let e=a(`img`,`image`);e.alt=i(`image_alt`),e.onerror=()=>e.remove(),e.src=p,S.append(e)}let T=a(`div`,`buttons`),E=s(i(`url`,`link`),[`http:`,`https:`,`mailto:`]),D=i(`button`)||E&&(new URL(E).hostname||new URL(E).pathname);if(D){let t=a(E?`a`:`button`,`button main`,D);if(E){let n=t;n.href=E,e.new_tab===!0&&([n.target,n.rel]=[`_blank`,`noopener`])}t.onclick=e=>{x(`clicked`,E)||e.preventDefault()},T.append(t)}let O=()=>void x(`dismissed`);i(`dismiss`)&&T.append(o(a(`button`,`button`,i(`dismiss`)),O));let k=o(a(`button`,`close`,`×`),O);return k.setAttribute(`aria-label`,i(`close`)||t.closeLabel||`Close`),S.append(C,T,k),_.append(S),h?l(S,O):S.onkeydown=e=>{e.key===`Escape`&&O()},m===`banner`&&S.classList.contains(`first`)?document.body.prepend(g):document.body.append(g),h?(S.showModal?S.showModal():S.setAttribute(`open`,``),S.focus()):u(_,[d,f].filter(Boolean).join(`. `)),b}function a(e,t=``,n=``,r=``){let i=document.createElement(e);return t&&(i.className=t),n&&(i.textContent=n),r&&(i.id=r),e===`button`&&(i.type=`button`),i}function o(e,t){return e.onclick=t,e}function s(e,t){try{let n=e&&new URL(e,document.baseURI);return n&&t.includes(n.protocol)?n.href:``}catch{return``}}function c(e,n){try{let n=new CSSStyleSheet;n.replaceSync(t),e.adoptedStyleSheets=[n]}catch{let r=document.createElement(`style`);n&&(r.nonce=n),r.textContent=t,e.append(r)}}function l(e,t){e.tabIndex=-1,e.setAttribute(`aria-modal`,`true`),e.addEventListener(`cancel`,e=>{e.preventDefault(),t()}),e.addEventListener(`close`,t),e.onclick=n=>{let{left:r,right:i,top:a,bottom:o}=e.getBoundingClientRect(),{clientX:s,clientY:c}=n,l=s<r||s>i||c<a||c>o;n.target===e&&l&&t()},e.onkeydown=n=>{if(n.key===`Escape`&&t(),n.key!==`Tab`)return;let r=Array.from(e.querySelectorAll(`a,button`)),i=e.getRootNode().activeElement,a=r.indexOf(i);r[((a<0&&n.shiftKey?-1:a+(n.shiftKey?-1:1))+r.length)%r.length].focus(),n.preventDefault()}}function u(e,t){let n=a(`div`,`unseen`);n.setAttribute(`role`,`status`),e.append(n),setTimeout(()=>n.textContent=t,100)}var d=null,f=null;function p(e){window.parent!==window&&window.parent.postMessage(e,location.origin)}function m(e){f=e,d?.(),document.documentElement.dataset.scheme=e.scheme;let t={theme:e.scheme,...e.content};t.theme||=e.scheme;let n=(e,t)=>(p({kind:`done`,action:e,url:t||null}),setTimeout(()=>f&&m(f),600),!1);d=h(()=>i(t,{done:n})),p({kind:`drawn`,shown:d!==null})}function h(e){if(document.hasFocus())return e();let{focus:t}=HTMLElement.prototype,{showModal:n}=HTMLDialogElement.prototype;HTMLElement.prototype.focus=()=>{},HTMLDialogElement.prototype.showModal=function(){this.inert=!0,n.call(this),this.inert=!1};try{return e()}finally{HTMLElement.prototype.focus=t,HTMLDialogElement.prototype.showModal=n}}function g(e){let{kind:t,content:n}=e??{};return t===`draw`&&typeof n==`object`&&!!n}function _(){let e=document.createElement(`main`);e.setAttribute(`aria-label`,`Beneath the popup`);for(let t of[`head`,`line`,`line`,`line short`,`box`,`line`,`line short`]){let n=document.createElement(`div`);n.className=`shape ${t}`,e.append(n)}let t=document.createElement(`h1`);t.className=`unseen`,t.textContent=`A page`,e.prepend(t),document.body.append(e)}_(),window.addEventListener(`message`,e=>{e.origin===location.origin&&e.source===window.parent&&g(e.data)&&m(e.data)}),p({kind:`ready`});