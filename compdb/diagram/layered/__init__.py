"""The layered drawing of any graph; `draw.draw` is the way in, the other files are its steps."""
