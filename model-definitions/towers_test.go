package modeldefinitions_test

// whisper hears: an encoder of sound and a decoder of text.
func (s *shapes) whisper(d dims) {
	h := d.number("d_model")
	s.add(plain, "", h, d.number("num_mel_bins"), 3)
	s.add(plain, "", h, h, 3)
	s.add(plain, "", 2*h)
	s.add(embedding, "", d.number("max_source_positions"), h)
	s.add(embedding, "", d.number("vocab_size"), h)
	s.add(embedding, "", d.number("max_target_positions"), h)
	attention := func() {
		s.linear(matrix, "q", h, h, true)
		s.linear(matrix, "k", h, h, false)
		s.linear(matrix, "v", h, h, true)
		s.linear(matrix, "o", h, h, true)
		s.add(plain, "", 2*h)
	}
	layers := func(n, width int64, attentions int) {
		for i := range n {
			s.layer = int(i)
			for range attentions {
				attention()
			}
			s.linear(matrix, "up", h, width, true)
			s.linear(matrix, "down", width, h, true)
			s.add(plain, "", 2*h)
		}
		s.add(plain, "", 2*h)
	}
	layers(d.number("encoder_layers"), d.number("encoder_ffn_dim"), 1)
	layers(d.number("decoder_layers"), d.number("decoder_ffn_dim"), 2)
}

// transformer is what towers have in common: layers with biases and norms of two numbers a width.
func (s *shapes) transformer(layers, h, width int64) {
	for range layers {
		for range 4 {
			s.linear(tower, "", h, h, true)
		}
		s.linear(tower, "", h, width, true)
		s.linear(tower, "", width, h, true)
		s.add(plain, "", 4*h)
	}
}

// siglip is how Gemma 3 sees.
func (s *shapes) siglip(d dims, text int64) {
	h, patch := d.number("hidden_size"), d.number("patch_size")
	side := d.number("image_size") / patch
	s.linear(tower, "", 3*patch*patch, h, true)
	s.add(tower, "", side*side, h)
	s.transformer(d.number("num_hidden_layers"), h, d.number("intermediate_size"))
	s.add(plain, "", 2*h)
	s.add(tower, "", h, text) // the projector, and its norm
	s.add(plain, "", h)
}

// qwenVision is how Qwen 2.5 VL sees, and how Qwen 3.5 does.
func (s *shapes) qwenVision(d dims, gated bool) {
	h, width, out := d.number("hidden_size"), d.number("intermediate_size"), d.number("out_hidden_size")
	patch := 3 * d.number("temporal_patch_size") * d.number("patch_size") * d.number("patch_size")
	merged := h * d.number("spatial_merge_size") * d.number("spatial_merge_size")
	s.linear(tower, "", patch, h, !gated)
	if n := d.number("num_position_embeddings"); n > 0 {
		s.add(tower, "", n, h)
	}
	norm := 2 * h
	if gated {
		norm = h
		for range d.number("depth") {
			s.linear(tower, "", h, 3*h, true)
			s.linear(tower, "", h, h, true)
			s.linear(tower, "", h, width, true)
			s.linear(tower, "", h, width, true)
			s.linear(tower, "", width, h, true)
			s.add(plain, "", 2*norm)
		}
	} else {
		s.transformer(d.number("depth"), h, width)
	}
	s.add(plain, "", norm)
	s.linear(tower, "", merged, merged, true)
	s.linear(tower, "", merged, out, true)
}

// pixtral is how Mistral's models see.
func (s *shapes) pixtral(d dims, text int64) {
	h, width, patch := d.number("hidden_size"), d.number("intermediate_size"), d.number("patch_size")
	s.linear(tower, "", 3*patch*patch, h, false)
	s.add(plain, "", h)
	for range d.number("num_hidden_layers") {
		for range 4 {
			s.linear(tower, "", h, h, false)
		}
		s.linear(tower, "", h, width, false)
		s.linear(tower, "", h, width, false)
		s.linear(tower, "", width, h, false)
		s.add(plain, "", 2*h)
	}
	s.add(plain, "", h)
	s.linear(tower, "", 4*h, h, false) // four patches become one
	s.linear(tower, "", h, text, false)
	s.linear(tower, "", text, text, false)
}
