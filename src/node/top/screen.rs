//! The terminal while `top` has it: raw, on a screen beside the one with the prompt. Must not know
//! what is shown.

use std::io::{self, Write as _};
use std::panic;

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::style::{PrintStyledContent, StyledContent};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap,
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode, size,
};
use crossterm::{execute, queue};

/// A terminal that was taken. Whoever has it gives it back; a panic does, too.
pub(super) struct Screen;

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// Where it can't be set to raw, or is gone.
    pub(super) fn take() -> io::Result<Screen> {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let _ = restore();
            hook(panic);
        }));
        enable_raw_mode()?;
        // What is wider than the window is cut by the terminal, which knows how wide signs are.
        execute!(io::stdout(), EnterAlternateScreen, Hide, DisableLineWrap)?;
        Ok(Screen)
    }

    /// Shows the lines that there are for so many columns and lines, and nothing else.
    ///
    /// # Errors
    /// Where the terminal is gone.
    pub(super) fn draw<F>(&self, lines: F) -> io::Result<()>
    where
        F: FnOnce(usize, usize) -> Vec<StyledContent<String>>,
    {
        let (columns, height) = size()?;
        let mut bytes = Vec::new();
        queue!(bytes, BeginSynchronizedUpdate)?;
        let mut lines = lines(usize::from(columns), usize::from(height)).into_iter();
        for row in 0..height {
            queue!(bytes, MoveTo(0, row), Clear(ClearType::CurrentLine))?;
            if let Some(line) = lines.next() {
                queue!(bytes, PrintStyledContent(line))?;
            }
        }
        queue!(bytes, EndSynchronizedUpdate)?;
        let mut terminal = io::stdout().lock();
        terminal.write_all(&bytes)?;
        terminal.flush()
    }

    /// Gives the terminal back as it was.
    ///
    /// # Errors
    /// Where it is gone.
    pub(super) fn give_back(self) -> io::Result<()> {
        restore()
    }
}

fn restore() -> io::Result<()> {
    let shown = execute!(io::stdout(), EnableLineWrap, Show, LeaveAlternateScreen);
    disable_raw_mode().and(shown)
}
