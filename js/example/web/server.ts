/** The answers of the application's own server. */
export interface Me {
  person: Person | null;
  people: Person[];
  /** The simulated Facebook's control page. */
  control: string;
}

export interface Person {
  id: string;
  name: string;
  mayInstall: boolean;
}

export async function get<T>(path: string): Promise<T> {
  return answerOf(await fetch(`/api/${path}`));
}

export async function send<T>(path: string, body: object = {}): Promise<T> {
  return answerOf(await fetch(`/api/${path}`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }));
}

async function answerOf<T>(response: Response): Promise<T> {
  const answer = (await response.json()) as T & { error?: string };
  if (!response.ok) throw new Error(answer.error);
  return answer;
}
