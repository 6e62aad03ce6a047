// SPDX-License-Identifier: Apache-2.0
// What both reference servers of the conformance suite hold, as data: the names, texts and schemas are those that its
// scenarios ask for (`conformance list --server`; each scenario's description).

/** The smallest PNG (one red pixel) and a WAV of one silent sample. */
export const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC';
export const WAV = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQIAAAAAAA==';

export const image = { type: 'image', data: PNG, mimeType: 'image/png' };
export const audio = { type: 'audio', data: WAV, mimeType: 'audio/wav' };
export const text = (value) => ({ type: 'text', text: value });
export const says = (value) => ({ content: [text(value)] });
export const embedded = (uri, mimeType, value) => ({ type: 'resource', resource: { uri, mimeType, text: value } });

export const object = (properties = {}, required = Object.keys(properties)) => ({ type: 'object', properties, required });
const string = { type: 'string' };

/** Tools that say the same each time: name -> [description, content]. */
export const fixed = {
  test_simple_text: ['A text', [text('This is a simple text response for testing.')]],
  test_image_content: ['An image', [image]],
  test_audio_content: ['A sound', [audio]],
  test_embedded_resource: ['A resource', [embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')]],
  test_multiple_content_types: [
    'A text, an image and a resource',
    [text('Multiple content types test:'), image, embedded('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}')],
  ],
};

export const failure = 'This tool intentionally returns an error for testing';
export const logLines = ['Tool execution started', 'Tool processing data', 'Tool execution completed'];
export const progressSteps = [0, 50, 100];

export const schemaTool = {
  name: 'json_schema_2020_12_tool',
  description: 'Tool with JSON Schema 2020-12 features',
  inputSchema: {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    $defs: { address: { $anchor: 'addressDef', type: 'object', properties: { street: string, city: string } } },
    properties: {
      name: string,
      address: { $ref: '#/$defs/address' },
      contactMethod: { type: 'string', enum: ['phone', 'email'] },
      phone: string,
      email: string,
    },
    allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
    if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
    then: { required: ['phone'] },
    else: { required: ['email'] },
    additionalProperties: false,
  },
};

const choices = (...pairs) => pairs.map(([value, title]) => ({ const: value, title }));

/** What the tools of elicitation ask for. */
export const forms = {
  user: object({ username: { ...string, description: "User's response" }, email: { ...string, description: "User's email address" } }),
  defaults: object(
    {
      name: { ...string, default: 'John Doe' },
      age: { type: 'integer', default: 30 },
      score: { type: 'number', default: 95.5 },
      status: { ...string, enum: ['active', 'inactive', 'pending'], default: 'active' },
      verified: { type: 'boolean', default: true },
    },
    [],
  ),
  enums: object(
    {
      untitledSingle: { ...string, enum: ['option1', 'option2', 'option3'] },
      titledSingle: { ...string, oneOf: choices(['value1', 'First Option'], ['value2', 'Second Option'], ['value3', 'Third Option']) },
      legacyEnum: { ...string, enum: ['opt1', 'opt2', 'opt3'], enumNames: ['Option One', 'Option Two', 'Option Three'] },
      untitledMulti: { type: 'array', items: { ...string, enum: ['option1', 'option2', 'option3'] } },
      titledMulti: { type: 'array', items: { anyOf: choices(['value1', 'First Choice'], ['value2', 'Second Choice'], ['value3', 'Third Choice']) } },
    },
    [],
  ),
};

const TEMPLATE = /^test:\/\/template\/([^/]+)\/data$/;
export const uriTemplate = 'test://template/{id}/data';

export const resources = [
  { uri: 'test://static-text', name: 'static-text', description: 'A text that stays', mimeType: 'text/plain' },
  { uri: 'test://static-binary', name: 'static-binary', description: 'An image that stays', mimeType: 'image/png' },
  { uri: 'test://watched-resource', name: 'watched-resource', description: 'A text to subscribe to', mimeType: 'text/plain' },
];
export const template = { uriTemplate, name: 'template', description: 'Data for an id', mimeType: 'application/json' };

const bodies = {
  'test://static-text': { text: 'This is the content of the static text resource.' },
  'test://static-binary': { blob: PNG },
  'test://watched-resource': { text: 'Watched resource content' },
};

/** The contents of a resource; undefined when there is none. */
export function contentsOf(uri) {
  const known = resources.find((resource) => resource.uri === uri);
  if (known) return [{ uri, mimeType: known.mimeType, ...bodies[uri] }];
  const id = TEMPLATE.exec(uri)?.[1];
  return id && [{ uri, mimeType: template.mimeType, text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) }];
}

const user = (content) => ({ role: 'user', content });

/** Prompts: name -> {description, arguments: names, messages(arguments)}. */
export const prompts = {
  test_simple_prompt: { description: 'A text', arguments: [], messages: () => [user(text('This is a simple prompt for testing.'))] },
  test_prompt_with_arguments: {
    description: 'A text with two arguments',
    arguments: ['arg1', 'arg2'],
    messages: ({ arg1, arg2 }) => [user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))],
  },
  test_prompt_with_embedded_resource: {
    description: 'A resource',
    arguments: ['resourceUri'],
    messages: ({ resourceUri }) => [
      user(embedded(resourceUri, 'text/plain', 'Embedded resource content for testing.')),
      user(text('Please process the embedded resource above.')),
    ],
  },
  test_prompt_with_image: { description: 'An image', arguments: [], messages: () => [user(image), user(text('Please analyze the image above.'))] },
};

export const completions = (value) => ['paris', 'park', 'party'].filter((word) => word.startsWith(value));

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
