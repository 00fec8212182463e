"""How the weights of the embedded model are made; the product never imports this package."""
