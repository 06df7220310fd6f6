import './style/tokens.css';
import './style/base.css';
import './ui/controls.css';
import './ui/layout.css';
import './ui/table.css';
import './ui/figures.css';
import { render } from 'preact';
import { Console } from './shell/console';

const place = document.getElementById('console');
if (place) render(<Console />, place);
