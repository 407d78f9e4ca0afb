"""kick: what knowledge did this model lose when it was compressed?"""
