"""Views of one latent: its card, its words, Neuronpedia's embed, the page from which it was imported."""
