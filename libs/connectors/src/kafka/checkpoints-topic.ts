/** Where positions are kept on a target cluster. In a file of its own, since manifests load no driver. */
export const checkpointsTopic = '_tributary_checkpoints';
