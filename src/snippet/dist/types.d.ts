/** A popup's content, as its definition has it; `docs/integrate.md` lists what is read of it. */
export type Content = Record<string, unknown>;
/** A popup that this user is to see now. */
export interface Popup {
    id: string;
    version: number;
    variant: string | null;
    content: Content;
}
/** What a user did with a popup. */
export type Action = 'shown' | 'clicked' | 'dismissed' | 'ignored' | 'converted';
/** What a renderer of the page's own tells of a popup. */
export interface Handle {
    /** The decision that returned it: the impression's identity. */
    decision: string;
    /** Reports an action; each counts once. The first but `shown` and `converted` ends the popup. */
    report(action: Action): void;
}
/**
 * Puts a popup on screen in the page's own way. `false` says that it did not: then nothing is
 * reported, and the decision stays a show. May give a function that takes the popup off again.
 */
export type Render = (popup: Popup, handle: Handle) => void | boolean | (() => void) | Promise<void | boolean | (() => void)>;
/** An attribute that popups are targeted by. */
export type Attribute = string | number | boolean | (string | number | boolean)[];
/** Whom to ask for, and how. */
export interface Options {
    /** Where the node is, as `https://popups.example/`. The tag takes it from its own address. */
    node?: string;
    /** A public key, where the node has keys. */
    key?: string;
    /** Who is asked for. Without one the node makes an id up, which is kept here. */
    user?: string;
    /** The user's signature, where the node asks for one. */
    sig?: string;
    /** Where on the page or site; the node's default is `home`. */
    placement?: string;
    /** The session; `auto` makes one that ends after 30 minutes without a page view. */
    session?: string;
    /** A locale as `de-AT`. Default: the page's `lang`, then the browser's. */
    locale?: string;
    /** A time zone as `Europe/Berlin`. Default: the browser's; empty for none. */
    tz?: string;
    /** What popups may be targeted by. */
    attrs?: Record<string, Attribute>;
    /** The page's own renderer. */
    render?: Render;
    /** `none` keeps nothing in the browser, before consent for example. Default `local`. */
    storage?: 'local' | 'none';
    /** How long a node's word that nothing is due is kept to, in seconds: 0 to 600. Default 600. */
    maxWait?: number;
    /** How long an answer may take, in milliseconds. Default 5000. */
    timeout?: number;
    /** The name of the button that closes a popup, for screen readers. Default `Close`. */
    closeLabel?: string;
    /** The page's nonce for styles and scripts. The tag takes it from itself. */
    nonce?: string;
    /** Asks only when told to. Of the tag alone: an import never asks by itself. */
    manual?: boolean;
    /** Says on the console what is done. */
    debug?: boolean;
    /** Called when the tag's `nudge` is there. */
    ready?: (nudge: Nudge) => void;
}
/** What became of a question. */
export interface Answer {
    /** What was put on screen. */
    popup: Popup | null;
    /** The impression's identity, where there is a popup. */
    decision?: string;
    /**
     * Why there is none: the node's reason, or `waiting` (it said when to ask again), `busy` (a popup
     * is on screen), `expired` (the page was hidden for too long), `unshown` (the renderer gave up) or
     * `failed` (no answer, or none that is understood).
     */
    reason?: string;
    /** Seconds until asking again can help, where that is known. */
    next?: number;
}
/** What a page has. No call throws, and no promise is rejected. */
export interface Nudge {
    /** Asks for one popup and shows it. Options hold for this question alone. */
    ask(options?: Options): Promise<Answer>;
    /** Changes options for good: after a login, with a consent. */
    configure(options: Options): void;
    /** Reports that the user did what a popup was for: the latest shown here, or one by its id. */
    converted(popup?: string): void;
    /** Takes the popup on screen off, as ignored. */
    close(): void;
    /** Forgets all that is kept in this browser: after a logout, or where consent is taken back. */
    reset(): void;
}
/** What the popup's file is told by the core. Versions of the two may differ for a while. */
export interface Stage {
    nonce?: string;
    closeLabel?: string;
    /** Tells what the user did; false where the browser must not follow a link. */
    done(action: Action, url?: string): boolean;
}
/** Puts content on screen; gives what takes it off, or null where there is nothing to show. */
export type Show = (content: Content, stage: Stage) => (() => void) | null;
