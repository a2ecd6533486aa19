/** Valid tasks of imageInference, for the documents that describe the API. */

export const examples = [
  {
    taskType: 'imageInference',
    taskUUID: '50836053-a0ee-4cf5-b9d6-ae7c5d140ada',
    model: 'retouch:mini@1',
    positivePrompt: 'turn the red car blue',
    inputs: { referenceImages: ['https://example.com/scene-car.png'] },
  },
  {
    taskType: 'imageInference',
    taskUUID: '9f3c1f4e-2f55-4d0b-8d0a-6c2f0b1d7e61',
    model: 'runware:106@1',
    positivePrompt: 'a lighthouse on a cliff, in watercolours',
    width: 1248,
    height: 832,
    steps: 28,
    CFGScale: 2.5,
    seed: 42,
    numberResults: 4,
    outputType: 'dataURI',
    outputFormat: 'PNG',
  },
  {
    taskType: 'imageInference',
    taskUUID: '0c3cf644-3f55-4d0b-9d0a-6c2f0b1d7e61',
    model: 'runware:106@1',
    positivePrompt: 'the same woman on a beach at dusk',
    negativePrompt: 'blurred',
    inputs: { referenceImages: ['0d9e3d5c-7a57-4b6f-8e57-2f6d1c0b9a11'] },
    trueCFGScale: 2,
    scheduler: 'DPM++ 2M Karras',
    acceleratorOptions: { teaCache: true, teaCacheDistance: 0.3, cacheStartStepPercentage: 10 },
    lora: [{ model: 'civitai:1234@5678', weight: 0.8 }],
    ipAdapters: [
      {
        model: 'runware:55@2',
        guideImages: ['https://example.com/style.png'],
        weight: 0.5,
        weightType: 'ease_in',
      },
    ],
    ultralytics: { confidence: 0.8, strength: 0.4 },
    safety: { checkContent: true },
  },
];
