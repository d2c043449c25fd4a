"""What is known of one latent: its card, its words, Neuronpedia's embed, the page it was imported from."""
