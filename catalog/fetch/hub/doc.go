// Package hub fetches from the Hugging Face hub and its mirrors, by their HTTP API.
package hub
