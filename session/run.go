package session

// start runs a command, unless too many are running.
func (c *Conn) start(ordered bool, run func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving {
		return ErrTryAgain
	}
	if c.running >= c.gw.cfg.MaxInFlight {
		return ErrTooBusy
	}
	if !c.gw.tasks.begin() {
		return ErrTryAgain
	}
	c.running++
	// The goroutines below end with their commands, whose context the gateway ends; the gateway waits
	// for them by its tasks.
	switch {
	case !ordered:
		go func() {
			run()
			c.finished()
		}()
	case c.inLine:
		c.line = append(c.line, run)
	default:
		c.inLine = true
		go c.runLine(run)
	}
	return nil
}

// runLine runs ordered commands until none waits.
func (c *Conn) runLine(run func()) {
	for run != nil {
		run()
		c.mu.Lock()
		run = nil
		if len(c.line) > 0 {
			run = c.line[0]
			c.line = c.line[1:]
		} else {
			c.inLine, c.line = false, nil
		}
		c.mu.Unlock()
		c.finished()
	}
}

func (c *Conn) finished() {
	c.mu.Lock()
	c.running--
	last := c.leaving && c.running == 0
	c.mu.Unlock()
	if last {
		c.shut(CloseRestart, restartText)
	}
	c.gw.tasks.end()
}

// dismiss takes no more commands and closes the connection when those that run are answered.
func (c *Conn) dismiss() {
	c.mu.Lock()
	c.leaving = true
	idle := c.running == 0
	c.mu.Unlock()
	if idle {
		c.shut(CloseRestart, restartText)
	}
}
