// Renders a popup as the snippet does; its content comes by a message of the editor.
export {};
